"""Refinement of saved probabilities of any network by the CRF, on all cores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from deeplab_lit.config.command_schemas import RefineConfig
from deeplab_lit.config.identity import REFINEMENT
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.score_files import WrongForm, find_scores
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.inference.inputs import workers
from deeplab_lit.inference.output_folder import Outputs, conclude
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import own_shard


def refine(config: RefineConfig) -> None:
    """Refine saved probabilities, all or those of a shard; a call with the same settings continues an earlier one.

    An image and its probabilities have the same name. Images without probabilities are ignored.

    Args:
        config: the config of the command.

    Raises:
        UserError: the config is wrong, or some files could not be used; the others are written first.
    """
    crf = build_crf(config.crf, threads=1)
    if crf is None:
        raise UserError("crf=none refines nothing: choose crf=v1_largefov, v2_vgg16 or v2_resnet101.")
    saved, images = find_scores(config.probabilities), find_images(config.images)
    alone = sorted(saved.keys() - images.keys())
    if alone:
        raise UserError(f"{saved[alone[0]]} has no image of that name in {config.images} ({len(alone)} such in all).")
    labels = _labels(config.classes)
    classes = len(labels) if config.classes is not None else None
    _check_form(next(iter(saved)), saved, images, config, classes)
    settings = {key: value for key, value in asdict(config).items() if key in REFINEMENT}
    out = Outputs(config.out, labels, settings, config.overlays, config.save_probabilities, config.overwrite)
    names = own_shard(config.shard).of(list(saved))
    waiting = [name for name in names if not out.is_done(name)]

    def work(name: str) -> str | None:
        try:
            image = read_image(images[name])
            probabilities = read_distribution(saved[name], (image.shape[0], image.shape[1]), config, classes)
            refined = crf(image, probabilities)
        except UserError as error:
            return f"{saved[name]}: {error}"
        out.write(name, image, refined.argmax(0).astype(np.uint8), refined)
        return None

    bad = []
    with preparing() as progress:
        progress("refining", 0, len(waiting))
        for done, fault in enumerate(ahead(work, waiting, workers(config.workers)), 1):
            bad += [fault] if fault else []
            progress("refining", done, len(waiting))
    conclude(len(waiting) - len(bad), len(names) - len(waiting), bad, out.folder)


def _check_form(
    name: str, saved: dict[str, Path], images: dict[str, Path], config: RefineConfig, classes: int | None
) -> None:
    """Raise UserError if the keys do not say what one file holds, before all files are read and a folder is made."""
    try:
        image = read_image(images[name])
        read_distribution(saved[name], (image.shape[0], image.shape[1]), config, classes)
    except WrongForm as error:
        raise UserError(f"{saved[name]}: {error}") from error
    except UserError:
        return  # is told with the other files that could not be used


def _labels(classes: str | None) -> LabelSet:
    """The label set of the class list; without a list, 255 numbered classes in VOC's colours."""
    if classes is not None:
        return read_class_list(classes)[0]
    return LabelSet(("background", *(f"class {number}" for number in range(1, VOID))))

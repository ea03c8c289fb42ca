"""Refinement of saved probabilities of any network by the CRF, on all cores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from deeplab_lit.config.command_schemas import RefineConfig
from deeplab_lit.config.identity import REFINEMENT
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.class_list import labels_of
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.score_files import WrongForm, find_scores
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.inference.inputs import workers
from deeplab_lit.inference.output_folder import Outputs, conclude, fill
from deeplab_lit.inference.photographs import images_of
from deeplab_lit.utils.errors import UserError
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
    pixels = PixelFormat.chosen(config.channels, config.bits, group="")
    saved = find_scores(config.probabilities)
    images, labels = images_of(saved, config.images), labels_of(config.classes)
    classes = len(labels) if config.classes is not None else None
    _check_form(next(iter(saved)), saved, images, config, classes)
    settings = {key: value for key, value in asdict(config).items() if key in REFINEMENT}
    out = Outputs(config.out, labels, settings, config.overlays, config.save_probabilities, config.overwrite)

    def work(name: str) -> None:
        image = read_pixels(images[name], pixels)
        refined = crf(image, read_distribution(saved[name], (image.shape[0], image.shape[1]), config, classes))
        out.write(name, image, refined.argmax(0).astype(np.uint8), refined)

    own = {name: saved[name] for name in own_shard(config.shard).of(list(saved))}
    conclude(*fill(out, own, work, "refining", workers(config.workers)), out.folder)


def _check_form(
    name: str, saved: dict[str, Path], images: dict[str, Path], config: RefineConfig, classes: int | None
) -> None:
    """Raise UserError if the keys do not say what one file holds, before all files are read and a folder is made."""
    try:
        image = read_pixels(images[name], PixelFormat(config.channels, config.bits))
        read_distribution(saved[name], (image.shape[0], image.shape[1]), config, classes)
    except WrongForm as error:
        raise UserError(f"{saved[name]}: {error}") from error
    except UserError:
        return  # is told with the other files that could not be used

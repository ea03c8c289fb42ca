"""Refinement of saved probabilities of any network by the CRF, on all cores."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from deeplab_lit.config.command_schemas import RefineConfig
from deeplab_lit.config.identity import REFINEMENT
from deeplab_lit.crf.presets import build_crf, preset_names
from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.class_list import labels_of
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.score_files import find_scores
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.inference.inputs import workers
from deeplab_lit.inference.output_folder import Outputs, conclude, fill
from deeplab_lit.inference.photographs import images_of
from deeplab_lit.inference.unusable_files import look_at_first
from deeplab_lit.utils.arrays import Floats, Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.shards import own_shard


def refine(config: RefineConfig) -> None:
    """Refine saved probabilities, all or those of a shard; a call with the same settings continues an earlier one.

    An image and its probabilities have the same name. Images without probabilities are ignored. At the end the names of
    all masks in the folder are written as a list.

    Args:
        config: the config of the command.

    Raises:
        UserError: the config is wrong, or some files could not be used; the others are written first.
    """
    crf = build_crf(config.crf, threads=1)
    if crf is None:
        raise UserError(f"crf=none refines nothing: choose one of {', '.join(preset_names())}.")
    pixels = PixelFormat.chosen(config.channels, config.bits, group="")
    saved = find_scores(config.probabilities)
    images, labels = images_of(saved, config.images), labels_of(config.classes)
    classes = len(labels) if config.classes is not None else None

    def read(name: str) -> tuple[Pixels, Floats]:
        image = read_pixels(images[name], pixels)
        return image, read_distribution(saved[name], (image.shape[0], image.shape[1]), config, classes)

    look_at_first(saved, read)
    settings = {key: value for key, value in asdict(config).items() if key in REFINEMENT}
    out = Outputs(config.out, labels, settings, config.overlays, config.save_probabilities, config.overwrite)

    def work(name: str) -> None:
        image, probabilities = read(name)
        refined = crf(image, probabilities)
        out.write(name, image, refined.argmax(0).astype(np.uint8), refined)

    shard = own_shard(config.shard)
    own = {name: saved[name] for name in shard.of(list(saved))}
    filled = fill(out, own, work, "refining", workers(config.workers))
    out.write_list(saved)
    conclude(filled, out.folder, shard)

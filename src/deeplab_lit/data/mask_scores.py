"""Scores of a saved mask: the probabilities of its classes, with or without a confidence for each pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeplab_lit.data.labels import VOID
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.data.pixel_weights import read_pixel_weights
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError


def read_mask_scores(path: Path, size: tuple[int, int], confidences: str | None) -> tuple[tuple[int, ...], Floats]:
    """The classes of a mask, the background among them, and their probabilities, float32 (K, H, W).

    A pixel's class has the probability that is its confidence, but is always the most probable one. The other classes
    share the rest. At void (255) pixels all classes are equally probable.

    Args:
        path: a mask file of class indices.
        size: (H, W) of the image.
        confidences: a folder with a grey picture for each mask, which has the same name in it, 0 for black and 1 for
            white; None: each pixel is certain.

    Raises:
        UserError: a file cannot be read or has another size than the image, or the mask is void everywhere.
    """
    mask = read_mask(path)
    if mask.shape != size:
        raise UserError(f"it is {mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]}: give masks as large.")
    known = mask != VOID
    if not known.any():
        raise UserError("it is void everywhere: leave it out.")
    classes = np.union1d([0], mask[known])
    sure = np.ones(size, np.float32)
    if confidences is not None:
        sure = read_pixel_weights(_of(path, Path(confidences).expanduser()), size)
    sure = np.where(known, np.maximum(sure, np.float32(1.001 / len(classes))), np.float32(1 / len(classes)))
    sure = np.minimum(sure, 1)
    others = (1 - sure) / max(len(classes) - 1, 1)
    return tuple(classes.tolist()), np.where(mask == classes[:, None, None], sure, others)


def _of(mask: Path, folder: Path) -> Path:
    """The picture of a mask in a folder that may have the subfolders of the mask's."""
    parts = mask.parts
    found = [folder.joinpath(*parts[place:]) for place in range(1, len(parts))]
    return next((path for path in found if path.is_file()), found[-1])

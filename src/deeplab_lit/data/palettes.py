"""Palettes of index masks, beside the colours of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.data.image_files import FORMATS
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.mask_files import MaskCoding

REORDERED = "palette of the classes in another order"
REORDERED_MEANS = (
    "have a palette with the colours of data.classes at other indices: the indices are read, not the colours; convert "
    "these masks to RGB if their colours are right."
)
"""What is said of masks with such a palette, behind their number or name."""
_KINDS = {"L": "grey, no palette", "1": "two levels, 1 bit", "RGB": "colours", "RGBA": "colours"}


def palette_kind(path: Path, labels: LabelSet, coding: MaskCoding, counts: NDArray[np.int64]) -> str:
    """The kind of a mask's palette, in words.

    Args:
        path: of the mask.
        labels: the classes.
        coding: how the pixels of masks stand for classes.
        counts: pixels of each value in this mask (256,).
    """
    with Image.open(path, formats=FORMATS) as file:
        if file.mode != "P":
            return _KINDS.get(file.mode, "grey, 16 bits")
        given = np.zeros(768, np.uint8)
        values = file.getpalette() or []
        given[: len(values)] = values[:768]
    palette = given.reshape(256, 3)
    if (palette[: len(labels)] == labels.colours[: len(labels)]).all():
        return "palette of the classes"
    used = np.flatnonzero(counts).tolist()
    meant = dict(enumerate(coding.colours)) | {VOID: coding.void}
    shown = {index: tuple(palette[index].tolist()) for index in used}
    moved = any(shown[index] != meant.get(index) for index in used) and set(shown.values()) <= set(meant.values())
    return REORDERED if moved and coding.colours else "another palette"

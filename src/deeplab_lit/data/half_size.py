"""Half size: images and masks with half the height and width, each pixel made of a square of four."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from deeplab_lit.data.image_files import read_image, save_image, write_mask
from deeplab_lit.data.mask_files import MaskCoding, read_mask
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing

Job = tuple[Literal["image", "mask"], Path, Path]
"""What a file is, the file, and the file that is made of it."""


def half_image(image: Bytes) -> Bytes:
    """The mean of each square of four pixels, rounded to the nearest byte (halves up), uint8 (H // 2, W // 2, 3)."""
    four = _squares(image).astype(np.uint16)
    return ((four.sum(0, dtype=np.uint16) + 2) // 4).astype(np.uint8)


def half_mask(mask: Bytes) -> Bytes:
    """The most frequent label of each square of four pixels, uint8 (H // 2, W // 2).

    Of equally frequent labels it is the one that comes first in the order of reading. Void counts as a label. So no
    label appears that was not in the square.
    """
    four = _squares(mask)
    counts = (four[:, None] == four[None]).sum(1, dtype=np.uint8)
    return np.take_along_axis(four, counts.argmax(0)[None], 0)[0]


def _squares(pixels: Bytes) -> Bytes:
    """The four pixels of each square in the order of reading, (4, H // 2, W // 2, ...), without an odd last line."""
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    return np.stack([pixels[row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)])


def write_half(coding: MaskCoding, palette: Bytes, job: Job) -> None:
    """Write a file at half size, an image as a PNG, a mask as an index PNG.

    Args:
        coding: how the pixels of masks stand for classes.
        palette: of the masks that are written, (256, 3).
        job: the files.

    Raises:
        UserError: the file cannot be read or has a side of one pixel, or a mask holds what stands for no class.
    """
    kind, source, target = job
    pixels = read_image(source) if kind == "image" else read_mask(source, coding)
    if min(pixels.shape[:2]) < 2:
        raise UserError(f"{source} is {pixels.shape[1]}x{pixels.shape[0]}: half of it is no picture.")
    with replacing(target, sync=False) as temporary:
        if kind == "image":
            save_image(Image.fromarray(half_image(pixels)), temporary, format="PNG", compress_level=1)
        else:
            write_mask(half_mask(pixels), palette, temporary)

"""Crops of scaled images and masks, in one pass that reads only the crop, and bytes as planes of floats.

They are compiled for one thread, since many processes or threads read a data set at once.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from deeplab_lit.kernels.jit import compiled


def _crop_scaled(image, mask, height, width, top, left, mirrored, fill, void, crop, crop_mask):
    """Fill ``crop`` (h, w, C) and ``crop_mask`` (h, w) from an image (H, W, C) and its mask, all in C order.

    The crop is that of the image and the mask resized to ``height`` x ``width``, the image bilinearly, the mask to the
    nearest pixel, without aligned corners. It begins at row ``top`` and column ``left``. Outside the resized image it
    has ``fill``, a tuple of C numbers, and ``void``. The masks hold bytes, the images bytes or 16 bits.
    """
    # of a tuple, whose length is a constant of the compiled code; unsigned, since numba checks signed indices for
    # negative values
    channels = np.uint32(len(fill))
    side, across = crop_mask.shape
    rows, columns = mask.shape
    seen = min(across, width - left)
    first, step = np.empty(seen, np.uint32), np.empty(seen, np.uint32)
    share, near = np.empty(seen, np.float32), np.empty(seen, np.uint32)
    begin = 0
    for x in range(seen):
        place = max(0.0, (x + left + 0.5) * columns / width - 0.5)
        column = min(int(place), columns - 1)
        if x == 0:
            begin = column
        first[x] = len(fill) * (column - begin)
        step[x] = len(fill) if column + 1 < columns else 0
        share[x] = place - column
        near[x] = (2 * (x + left) + 1) * columns // (2 * width)
    line = np.empty(first[seen - 1] + step[seen - 1] + len(fill), np.float32)
    for y in range(side):
        if y + top < height:
            place = max(0.0, (y + top + 0.5) * rows / height - 0.5)
            row = min(int(place), rows - 1)
            down = np.float32(place - row)
            above = image[row].reshape(-1)[len(fill) * begin :]
            below = image[min(row + 1, rows - 1)].reshape(-1)[len(fill) * begin :]
            for i in range(len(line)):
                value = np.float32(above[i])
                line[i] = value + down * (np.float32(below[i]) - value)
            to_row, to_mask, labels = (
                crop[y].reshape(-1),
                crop_mask[y],
                mask[(2 * (y + top) + 1) * rows // (2 * height)],
            )
            for x in range(seen):
                one, other, part = first[x], first[x] + step[x], share[x]
                to = np.uint32(across - 1 - x if mirrored else x)
                for c in range(channels):
                    value = line[one + c] + part * (line[other + c] - line[one + c])
                    to_row[channels * to + c] = np.int32(value + np.float32(0.5))
                to_mask[to] = labels[near[x]]
        for x in range(seen if y + top < height else 0, across):
            to = np.uint32(across - 1 - x if mirrored else x)
            for c in range(len(fill)):
                crop[y, to, c] = fill[c]
            crop_mask[y, to] = void


crop_scaled = compiled(_crop_scaled, fastmath={"contract"})


@compiled
def planes(image, table, channels, out):
    """Fill the upper left of ``out`` (C, h, w) from bytes (H, W, C): plane c is table[c] of channel channels[c]."""
    height, width, _ = image.shape
    for c in range(len(channels)):
        channel = channels[c]
        for y in range(height):
            for x in range(width):
                out[c, y, x] = table[c, image[y, x, channel]]

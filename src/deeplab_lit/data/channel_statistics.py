"""Statistics of the channels of images, mean and standard deviation: given in a config, or measured."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_json
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress

Statistics = Sequence[float] | Literal["measured"] | None
"""A number for each channel or for each beyond the first three, ``"measured"`` for all channels, or None."""

SAMPLE = 1000
"""Images that are measured at most, evenly spaced in the list."""


def checked_statistics(mean: Statistics, std: Statistics, pixels: PixelFormat) -> tuple[Statistics, Statistics]:
    """Both themselves, after a check that they belong together and to the format.

    Raises:
        UserError: one is given without the other, the counts are wrong, or a value is out of range.
    """
    if (mean is None and std is None) or mean == std == "measured":
        return mean, std
    counts = {pixels.channels, pixels.channels - 3} - {0}
    right = all(
        isinstance(values, Sequence) and all(isinstance(value, (int, float)) for value in values)
        for values in (mean, std)
    )
    if not right or len(mean) != len(std) or len(mean) not in counts:  # type: ignore[arg-type]
        for_some = f", or {pixels.channels - 3} for the channels beyond the third" if pixels.channels > 3 else ""
        raise UserError(
            f"data.mean={mean}, data.std={std}: give both as lists of {pixels.channels} numbers{for_some}, in units of "
            "the files' values; both as measured; or neither."
        )
    if not all(0 <= value <= pixels.largest for value in mean) or not all(0 < value < math.inf for value in std):  # type: ignore[union-attr, operator]
        raise UserError(
            f"data.mean={mean}, data.std={std}: each mean is from 0 to {pixels.largest}, the largest value of "
            f"{pixels.bits} bits, and each std is more than 0."
        )
    return mean, std


def measured(split: Split, progress: Progress | None = None) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all pixels of the images of a split, in the files' units.

    Of more than :data:`SAMPLE` images, so many are read. The standard deviation of a constant channel is given as 1.
    The sums are exact, so that neither the order nor the number of processes matters. The result is kept in the cache
    folder.

    Raises:
        UserError: an image cannot be read.
    """
    images = [split.images[i * len(split) // SAMPLE] for i in range(SAMPLE)] if len(split) > SAMPLE else split.images
    stats = [(str(image), stat.st_size, stat.st_mtime_ns) for image in images for stat in [image.stat()]]
    key = hashlib.sha256(json.dumps([repr(split.pixels), stats]).encode()).hexdigest()[:16]
    kept = cache_folder() / "channel_statistics" / f"{key}.json"
    if kept.is_file():
        mean, std = json.loads(kept.read_text())
        return mean, std
    count, sums, squares = 0, [0] * split.pixels.channels, [0] * split.pixels.channels
    for area, one, two in spread(partial(_sums, split.pixels), images, "measuring the training images", progress):
        count += area
        sums = [a + b for a, b in zip(sums, one, strict=True)]
        squares = [a + b for a, b in zip(squares, two, strict=True)]
    mean = [total / count for total in sums]
    # whole numbers up to the root, since the difference of two large numbers is small
    variances = [count * square - total * total for total, square in zip(sums, squares, strict=True)]
    std = [math.sqrt(variance) / count if variance else 1.0 for variance in variances]
    write_json(kept, [mean, std])
    return mean, std


def _sums(pixels: PixelFormat, path: Path) -> tuple[int, list[int], list[int]]:
    """The number of pixels of an image, and of each channel the sum and the sum of squares."""
    flat = read_pixels(path, pixels).reshape(-1, pixels.channels)
    squares = [int(np.square(column.astype(np.uint64)).sum()) for column in flat.T]
    return len(flat), [int(total) for total in flat.sum(0, dtype=np.uint64)], squares

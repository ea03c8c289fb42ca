"""Frequencies of the classes in the training masks, and the class weights and repeat factors that follow from them."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.labels import VOID
from deeplab_lit.data.mask_files import MaskCoding, read_mask
from deeplab_lit.data.split import Split
from deeplab_lit.utils.files import replacing
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress


def pixel_counts(split: Split, progress: Progress | None = None) -> NDArray[np.int64]:
    """The number of pixels of each class in each mask of a split, int64 (N, C), without void.

    The counts are kept in the cache folder.

    Raises:
        UserError: a mask cannot be read.
    """
    stats = [(str(mask), stat.st_size, stat.st_mtime_ns) for mask in split.masks for stat in [mask.stat()]]
    key = hashlib.sha256(json.dumps([split.num_classes, repr(split.coding), stats]).encode()).hexdigest()[:16]
    kept = cache_folder() / "frequencies" / f"{key}.npy"
    if kept.is_file():
        return np.load(kept)
    work = partial(_count, split.num_classes, split.coding)
    counts = np.array(list(spread(work, split.masks, "counting classes in the training masks", progress)), np.int64)
    with replacing(kept) as temporary:
        np.save(temporary, counts)
    return counts


def _count(num_classes: int, coding: MaskCoding, path: Path) -> NDArray[np.int64]:
    mask = read_mask(path, coding)
    return np.bincount(mask[mask != VOID], minlength=num_classes)[:num_classes]


def median_frequency(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Class weights (C,): the median of all class frequencies over the frequency of the class.

    The frequency of a class is its pixels over the labelled pixels of the images in which it occurs. A class that never
    occurs has the weight 1.

    Args:
        counts: pixels of each class in each image (N, C).
    """
    pixels = counts.sum(0)
    image_pixels = np.array([counts[counts[:, c] > 0].sum() for c in range(counts.shape[1])])
    seen = pixels > 0
    frequency = pixels[seen] / image_pixels[seen]
    weights = np.ones(counts.shape[1], np.float32)
    weights[seen] = np.median(frequency) / frequency
    return weights


def inverse_root(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Class weights (C,): one over the square root of the class's share of the labelled pixels.

    The weights of the classes that occur average 1. A class that never occurs has the weight 1.

    Args:
        counts: pixels of each class in each image (N, C).
    """
    pixels = counts.sum(0)
    seen = pixels > 0
    weights = np.ones(counts.shape[1], np.float32)
    raw = np.sqrt(pixels.sum() / pixels[seen])
    weights[seen] = raw / raw.mean()
    return weights


def repeat_factors(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each image is drawn relative to the others (N,), at least 1: sqrt(m / f).

    f is the share of images that contain the image's rarest class. m is the median of this share over all classes.

    Args:
        counts: pixels of each class in each image (N, C).
    """
    present = counts > 0
    frequency = present.mean(0)
    middle = np.median(frequency[frequency > 0])
    factor = np.sqrt(np.maximum(1.0, middle / np.maximum(frequency, 1e-12)))
    return np.where(present, factor, 1.0).max(1)

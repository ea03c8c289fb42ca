"""How often each class occurs in the training masks, and what follows for the loss and the order of examples."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.image_files import read_mask
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.split import Split
from deeplab_lit.utils.files import cache_folder, replacing
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress


def pixel_counts(split: Split, progress: Progress | None = None) -> NDArray[np.int64]:
    """Pixels of each class in each mask of a split (N, C), void left out; read once and kept in the cache folder.

    Raises:
        UserError: a mask cannot be read.
    """
    stats = [(str(mask), stat.st_size, stat.st_mtime_ns) for mask in split.masks for stat in [mask.stat()]]
    key = hashlib.sha256(json.dumps([split.num_classes, stats]).encode()).hexdigest()[:16]
    kept = cache_folder() / "frequencies" / f"{key}.npy"
    if kept.is_file():
        return np.load(kept)
    work = partial(_count, split.num_classes)
    counts = np.array(list(spread(work, split.masks, "counting classes in the training masks", progress)), np.int64)
    with replacing(kept) as temporary:
        np.save(temporary, counts)
    return counts


def _count(num_classes: int, path: Path) -> NDArray[np.int64]:
    mask = read_mask(path)
    return np.bincount(mask[mask != VOID], minlength=num_classes)[:num_classes]


def median_frequency(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Class weights: the median class frequency over each class's own, 1 for a class that never occurs.

    A class's frequency is its pixels over the pixels of the images in which it occurs.

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
    """Class weights: one over the square root of each class's share of the pixels, 1 on average.

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
    """How often each image should come: the root of (median / own) image frequency of its rarest class, at least 1.

    Args:
        counts: pixels of each class in each image (N, C).
    """
    present = counts > 0
    frequency = present.mean(0)
    middle = np.median(frequency[frequency > 0])
    factor = np.sqrt(np.maximum(1.0, middle / np.maximum(frequency, 1e-12)))
    return np.where(present, factor, 1.0).max(1)

"""Rule for the threshold of class activation maps, which needs no true masks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from deeplab_lit.utils.arrays import Bytes, Floats

_BINS, _SMOOTHED = 200, 9
_LOWEST, _HIGHEST = 0.05, 0.90
_SIDE = 128
"""The longest side in pixels at which maps and images are compared; longer ones are averaged down."""


def automatic_threshold(contrasts: Iterable[NDArray[np.float64]]) -> float | None:
    """The threshold across whose outline the images have the highest mean contrast; None: no map has an outline.

    Outlines of objects are edges of images. An outline that runs inside or outside of an object crosses no edge. The
    rule looks at the order of a map's activations alone, so a map whose values are all raised or lowered gets another
    threshold and the same mask.

    Args:
        contrasts: :func:`contrast_by_threshold` of each image.
    """
    totals = sum(contrasts, np.zeros((2, _BINS)))
    inside = slice(round(_LOWEST * _BINS), round(_HIGHEST * _BINS) + 1)
    half = _SMOOTHED // 2
    contrast, pairs = (np.convolve(np.pad(each[inside], half, "edge"), np.ones(_SMOOTHED), "valid") for each in totals)
    if not pairs.any():
        return None
    mean = np.where(pairs > 0.5, contrast / np.maximum(pairs, 0.5), 0)
    return float(mean.argmax() + inside.start) / _BINS


def contrast_by_threshold(image: Bytes, highest: Floats) -> NDArray[np.float64]:
    """The contrast across the outline of {activation > threshold}, for thresholds 0, 1/200, ..., 199/200.

    Args:
        image: RGB bytes (H, W, 3).
        highest: the highest activation of each pixel (h, w).

    Returns:
        The sum (2, 200) of the contrasts of the pairs of neighbouring pixels of which one is above the threshold, in
        units of the mean contrast of all pairs of the image; and the number of these pairs.
    """
    size = _small(highest.shape)
    colours = adaptive_avg_pool2d(torch.from_numpy(image).permute(2, 0, 1).float()[None], size)[0].numpy()
    activation = adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(highest))[None], size)[0].numpy()
    level = np.ceil(activation * _BINS).astype(np.intp).clip(0, _BINS)  # how many thresholds are below it
    contrast, low, high = [], [], []
    for axis in (0, 1):
        contrast.append(np.abs(np.diff(colours, axis=axis + 1)).max(0).ravel())
        first, second = (np.delete(level, place, axis) for place in (-1, 0))
        low.append(np.minimum(first, second).ravel())
        high.append(np.maximum(first, second).ravel())
    weights = np.concatenate(contrast).astype(np.float64)
    if not weights.any():  # an image of one colour
        return np.zeros((2, _BINS))
    starts, ends = np.concatenate(low), np.concatenate(high)

    def crossing(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return (np.bincount(starts, weight, _BINS + 1) - np.bincount(ends, weight, _BINS + 1)).cumsum()[:_BINS]

    return np.stack([crossing(weights / weights.mean()), crossing(np.ones_like(weights))])


def _small(size: tuple[int, ...]) -> tuple[int, int]:
    factor = min(1.0, _SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

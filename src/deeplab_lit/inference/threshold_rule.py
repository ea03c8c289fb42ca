"""Rule for the threshold of class activation maps, which needs no true masks."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab_lit.utils.arrays import Bytes, Floats

_BINS = 200
_LOWEST, _HIGHEST = 0.05, 0.90
_SIDE = 128
"""The longest side in pixels at which maps and images are compared; longer ones are averaged down."""


def automatic_threshold(separations: Iterable[NDArray[np.float64]]) -> float | None:
    """The threshold that separates the images' colours best; None: no map has values on both sides of one.

    Objects and backgrounds differ in colour. Of the pixels above a threshold and those below it, the means differ most
    where the one are the objects. The rule looks at the order of the activations alone, so maps that are all raised or
    lowered alike get another threshold and the same masks, as long as it is within 0.05 to 0.90.

    Args:
        separations: :func:`separation_by_threshold` of each image.
    """
    total = sum(separations, np.zeros(_BINS))
    first, last = round(_LOWEST * _BINS), round(_HIGHEST * _BINS)
    inside = total[first : last + 1]
    return float(inside.argmax() + first) / _BINS if inside.any() else None


def separation_by_threshold(image: Bytes, highest: Floats) -> NDArray[np.float64]:
    """How well {activation > threshold} separates an image's colours, for thresholds 0, 1/200, ..., 199/200.

    Args:
        image: RGB bytes (H, W, 3).
        highest: the highest activation of each pixel (h, w).

    Returns:
        The share (200,) of the variance of the colours in CIELAB that lies between the mean of the pixels above the
        threshold and that of the others (Otsu's criterion, 1979); 0 where all pixels are on one side.
    """
    factor = min(1.0, _SIDE / max(highest.shape))
    width, height = (max(1, round(each * factor)) for each in highest.shape[::-1])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    colours -= colours.mean(0)
    variance = (colours**2).sum()
    activation = cv2.resize(highest, (width, height), interpolation=cv2.INTER_AREA).ravel()
    thresholds = (np.arange(_BINS) / _BINS).astype(np.float32)
    level = np.searchsorted(thresholds, activation)  # how many thresholds are below it

    def below(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(level, weights, _BINS + 1).cumsum()[:_BINS]

    count = below(np.ones(len(level)))
    split = count * (len(level) - count)
    if variance < 1e-9 or not split.any():
        return np.zeros(_BINS)
    # with the mean at 0, the sums of both sides are each other's negatives
    sums = sum(below(colours[:, channel]) ** 2 for channel in range(3))
    found: NDArray[np.float64] = np.where(split > 0, sums * len(level) / np.maximum(split, 1) / variance, 0)
    return found

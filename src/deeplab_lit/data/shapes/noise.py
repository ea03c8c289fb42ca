"""Noise of fractal kind, which textures the grounds and the objects."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    coarsest: float = 32.0,
    roughness: float = 0.6,
    stretch: float = 1.0,
) -> Map:
    """Noise, float32 (height, width), of zero mean and unit standard deviation, summed over octaves.

    Args:
        rng: source of randomness.
        shape: (height, width) of the map in pixels.
        coarsest: pixels between the knots of the coarsest octave.
        roughness: weight of an octave relative to the next coarser one; small values give smooth noise.
        stretch: width of the grain over its height.
    """
    height, width = shape
    total = np.zeros((height, width), np.float32)
    step, weight = coarsest, 1.0
    while step >= 1:
        rows, columns = int(height / step) + 2, int(width / (step * stretch)) + 2
        knots = rng.standard_normal((rows, columns), dtype=np.float32)
        octave = cv2.resize(knots, (width + int(2 * step), height + int(2 * step)), interpolation=cv2.INTER_LINEAR)
        top, left = rng.integers(0, int(2 * step) + 1, 2)
        total += weight * octave[top : top + height, left : left + width]
        step, weight = step / 2, weight * roughness
    spread = float(total.std())
    return (total - total.mean()) / (spread if spread > 0 else 1.0)


def coloured(rng: np.random.Generator, base: NDArray[np.float32], noise: Map, strength: float) -> NDArray[np.float32]:
    """An RGB map (height, width, 3): the colour ``base`` plus the noise, whose strength varies with the channel."""
    drift = rng.normal(1.0, 0.25, 3).astype(np.float32)
    return base + (strength * noise)[..., None] * drift

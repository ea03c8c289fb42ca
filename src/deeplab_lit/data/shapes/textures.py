"""Textures of the objects of the embedded data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.shapes.noise import fractal

Field = NDArray[np.float32]
Texture = Callable[[np.random.Generator, Field, Field, float], Field]
"""(rng, x, y, pixels for one unit) -> brightness from about 0 to 1; x and y are the object's own coordinates."""


def smooth(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    return 0.5 + 0.08 * fractal(rng, x.shape, coarsest=8)


def grain(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    return 0.5 + 0.22 * fractal(rng, x.shape, coarsest=4, roughness=0.9)


def shaded(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    light = np.clip(1 - (x + 0.35) ** 2 - (y + 0.35) ** 2, -1, 1)
    return (0.5 + 0.3 * light + 0.04 * fractal(rng, x.shape, coarsest=8)).astype(np.float32)


def fine_stripes(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    period = _detail_period(rng, pixels)
    return (0.5 + 0.45 * np.sign(np.sin(2 * np.pi * x / period))).astype(np.float32)


def fine_checks(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    period = _detail_period(rng, pixels)
    return (0.5 + 0.45 * np.sign(np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period))).astype(np.float32)


def _detail_period(rng: np.random.Generator, pixels: float) -> float:
    # fine enough to vanish when the image is halved, coarse enough to survive the simulated camera
    return float(rng.uniform(6.0, 9.0) / pixels)


def bricks(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    height = max(0.28, 6.0 / pixels)
    row = np.floor(y / height)
    joint_y = np.abs(y / height - row - 0.5) > 0.38
    along = x / (2 * height) + 0.5 * (row % 2)
    joint_x = np.abs(along - np.floor(along) - 0.5) > 0.44
    return np.where(joint_x | joint_y, 0.95, 0.4).astype(np.float32) + 0.06 * fractal(rng, x.shape, coarsest=4)


def veins(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    middle = np.abs(y) < max(0.05, 0.8 / pixels)
    side = np.abs(((x + 0.7 * np.abs(y)) / 0.33) % 1.0 - 0.5) > 0.42
    return np.where(middle | side, 0.85, 0.45).astype(np.float32) + 0.05 * fractal(rng, x.shape, coarsest=4)


def stripes(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    return (0.5 + 0.4 * np.sign(np.sin(2 * np.pi * x / _period(rng, pixels)))).astype(np.float32)


def checks(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    period = 2 * _period(rng, pixels)
    return (0.5 + 0.4 * np.sign(np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period))).astype(np.float32)


def dots(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    period = 1.5 * _period(rng, pixels)
    u, v = (x / period) % 1 - 0.5, (y / period) % 1 - 0.5
    return np.where(u * u + v * v < 0.09, 0.9, 0.45).astype(np.float32)


def _period(rng: np.random.Generator, pixels: float) -> float:
    # a share of the object, so that what is far away has finer detail, but no finer than the camera sees
    return max(float(rng.uniform(0.16, 0.34)), 4.0 / pixels)


def any_of(textures: Sequence[Texture]) -> Texture:
    """A texture that is another one of ``textures`` for each object."""

    def texture(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
        return textures[int(rng.integers(len(textures)))](rng, x, y, pixels)

    return texture

"""Objects of the embedded data set: their outlines and textures.

Some classes differ only by outline. Others differ only by fine detail (zebra and chess have the same discs), by a
distant part (flag and lamp have the same pole), or by their surroundings (boat and sled are the same drawing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.shapes.noise import fractal

Points = NDArray[np.float32]
Field = NDArray[np.float32]
Colour = NDArray[np.float32]


def _disc(sides: int = 48) -> list[Points]:
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return [np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)]


def _star() -> list[Points]:
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return [np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)]


def _polygon(*points: tuple[float, float]) -> list[Points]:
    return [np.array(points, np.float32)]


def _ring() -> list[Points]:
    return [_disc()[0], (0.4 * _disc()[0])[::-1]]


def _leaf() -> list[Points]:
    t = np.linspace(0, np.pi, 24)
    upper = np.stack([-np.cos(t), 0.48 * np.sin(t) ** 1.3], 1)
    lower = np.stack([np.cos(t), -0.48 * np.sin(t) ** 1.3], 1)
    return [np.concatenate([upper, lower]).astype(np.float32)]


def _moon() -> list[Points]:
    t = np.linspace(np.pi / 2, 3 * np.pi / 2, 24)
    outer = np.stack([np.cos(t), np.sin(t)], 1)
    inner = np.stack([0.45 * np.cos(t[::-1]), np.sin(t[::-1])], 1)
    return [np.concatenate([outer, inner]).astype(np.float32)]


_POLE = _polygon((-0.16, -0.7), (0.16, -0.7), (0.16, 1.0), (-0.16, 1.0))
_HULL = _polygon(
    (-1, -0.1), (-0.45, -0.1), (-0.35, -0.75), (0.3, -0.75), (0.4, -0.1), (1, -0.1), (0.65, 0.5), (-0.65, 0.5)
)


def _flag() -> list[Points]:
    return _POLE + _polygon((-0.16, -1.0), (1.0, -0.6), (-0.16, -0.2))


def _lamp() -> list[Points]:
    return [*_POLE, 0.42 * _disc(24)[0] + np.array([0, -0.6], np.float32)]


def _fish() -> list[Points]:
    return [0.7 * _leaf()[0] * np.array([1, 1.3], np.float32), *_polygon((0.5, 0), (1, 0.45), (1, -0.45))]


def _wheel() -> list[Points]:
    spokes = [
        np.array([[-0.08, -0.95], [0.08, -0.95], [0.08, 0.95], [-0.08, 0.95]], np.float32) @ turn
        for turn in (np.eye(2, dtype=np.float32), np.array([[0, 1], [-1, 0]], np.float32))
    ]
    return [_disc()[0], (0.75 * _disc()[0])[::-1], *spokes]


Texture = Callable[[np.random.Generator, Field, Field, float], Field]
"""(rng, x, y, pixels for one unit) -> brightness from about 0 to 1; x and y are the object's own coordinates."""


def _smooth(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    return 0.5 + 0.08 * fractal(rng, x.shape, coarsest=8)


def _grain(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    return 0.5 + 0.22 * fractal(rng, x.shape, coarsest=4, roughness=0.9)


def _shaded(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    light = np.clip(1 - (x + 0.35) ** 2 - (y + 0.35) ** 2, -1, 1)
    return (0.5 + 0.3 * light + 0.04 * fractal(rng, x.shape, coarsest=8)).astype(np.float32)


def _stripes(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    period = _detail_period(rng, pixels)
    return (0.5 + 0.45 * np.sign(np.sin(2 * np.pi * x / period))).astype(np.float32)


def _checks(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    period = _detail_period(rng, pixels)
    return (0.5 + 0.45 * np.sign(np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period))).astype(np.float32)


def _detail_period(rng: np.random.Generator, pixels: float) -> float:
    # fine enough to vanish when the image is halved, coarse enough to survive the simulated camera
    return float(rng.uniform(6.0, 9.0) / pixels)


def _bricks(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    height = max(0.28, 6.0 / pixels)
    row = np.floor(y / height)
    joint_y = np.abs(y / height - row - 0.5) > 0.38
    along = x / (2 * height) + 0.5 * (row % 2)
    joint_x = np.abs(along - np.floor(along) - 0.5) > 0.44
    return np.where(joint_x | joint_y, 0.95, 0.4).astype(np.float32) + 0.06 * fractal(rng, x.shape, coarsest=4)


def _veins(rng: np.random.Generator, x: Field, y: Field, pixels: float) -> Field:
    middle = np.abs(y) < max(0.05, 0.8 / pixels)
    side = np.abs(((x + 0.7 * np.abs(y)) / 0.33) % 1.0 - 0.5) > 0.42
    return np.where(middle | side, 0.85, 0.45).astype(np.float32) + 0.05 * fractal(rng, x.shape, coarsest=4)


@dataclass(frozen=True)
class Thing:
    """A class of objects: outlines in a unit box (even-odd filled), texture, colours, and the ground it stands on."""

    outline: Callable[[], list[Points]]
    texture: Texture
    colours: tuple[tuple[int, int, int], ...] | None  # None: a random colour
    accent: tuple[tuple[int, int, int], ...] | None = None  # colours of the part with y < -0.2
    ground: str | None = None
    tilt: float = np.pi
    squash: tuple[float, float] = (0.75, 1.0)
    size: tuple[float, float] = (6.0, 64.0)  # range of half its extent, in pixels of a 144-pixel image


_WOOD = ((150, 95, 50), (120, 70, 35), (175, 125, 80))
_POST = ((90, 90, 95), (60, 65, 70), (140, 135, 130))

THINGS: dict[str, Thing] = {
    "ball": Thing(_disc, _shaded, ((200, 50, 40), (225, 140, 30), (190, 40, 110)), squash=(0.95, 1.0)),
    "ring": Thing(_ring, _smooth, ((235, 200, 70), (70, 190, 190)), size=(13.0, 64.0)),
    "star": Thing(_star, _grain, ((60, 80, 200), (200, 70, 160)), size=(11.0, 64.0)),
    "wall": Thing(
        lambda: _polygon((-1, -0.7), (1, -0.7), (1, 0.7), (-1, 0.7)),
        _bricks,
        ((180, 90, 60), (150, 75, 65)),
        tilt=0.3,
        size=(13.0, 64.0),
    ),
    "zebra": Thing(_disc, _stripes, ((200, 200, 195), (185, 190, 210)), size=(13.0, 64.0)),
    "chess": Thing(_disc, _checks, ((200, 200, 195), (185, 190, 210)), size=(13.0, 64.0)),
    "leaf": Thing(_leaf, _veins, ((80, 140, 50), (150, 150, 40), (60, 110, 70)), size=(13.0, 64.0)),
    "boat": Thing(lambda: list(_HULL), _smooth, _WOOD, ground="water", tilt=0.15, size=(22.0, 60.0)),
    "sled": Thing(lambda: list(_HULL), _smooth, _WOOD, ground="snow", tilt=0.15, size=(22.0, 60.0)),
    "flag": Thing(
        _flag,
        _smooth,
        _POST,
        accent=((190, 40, 50), (50, 70, 170)),
        tilt=0.12,
        squash=(0.9, 1.0),
        size=(36.0, 72.0),
    ),
    "lamp": Thing(
        _lamp,
        _smooth,
        _POST,
        accent=((240, 225, 150), (235, 235, 215)),
        tilt=0.12,
        squash=(0.9, 1.0),
        size=(36.0, 72.0),
    ),
}
"""The classes of both domains."""

MORE_THINGS: dict[str, Thing] = {
    "cross": Thing(
        lambda: _polygon(
            (-1, -0.33), (-0.33, -0.33), (-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33),
            (1, 0.33), (0.33, 0.33), (0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33),
        ),
        _grain, None, size=(11.0, 64.0),
    ),
    "arrow": Thing(
        lambda: _polygon(
            (-1, -0.22), (0.2, -0.22), (0.2, -0.65), (1, 0), (0.2, 0.65), (0.2, 0.22), (-1, 0.22)
        ),
        _smooth, None, size=(13.0, 64.0),
    ),
    "moon": Thing(_moon, _shaded, ((220, 210, 150), (200, 200, 220)), size=(13.0, 64.0)),
    "house": Thing(
        lambda: _polygon((-0.8, 1), (-0.8, -0.2), (0, -1), (0.8, -0.2), (0.8, 1)), _bricks,
        ((160, 140, 110), (190, 170, 150)), tilt=0.1, size=(13.0, 64.0),
    ),
    "fish": Thing(_fish, _veins, ((120, 140, 170), (220, 130, 60)), ground="water", tilt=0.6, size=(12.0, 56.0)),
    "wheel": Thing(_wheel, _smooth, _POST, size=(15.0, 64.0)),
}  # fmt: skip
"""The further classes of the domain ``source``."""

"""Outlines of the objects of the embedded data set, in a unit box: x and y from -1 to 1, y downwards."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Canvas = NDArray[np.float32]

_FINE = 4  # outlines are drawn this many times larger and averaged, which gives soft edges


def disc(sides: int = 48) -> list[Points]:
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return [np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)]


def star() -> list[Points]:
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return [np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)]


def polygon(*points: tuple[float, float]) -> list[Points]:
    return [np.array(points, np.float32)]


def ring() -> list[Points]:
    return [disc()[0], (0.4 * disc()[0])[::-1]]


def leaf() -> list[Points]:
    t = np.linspace(0, np.pi, 24)
    upper = np.stack([-np.cos(t), 0.48 * np.sin(t) ** 1.3], 1)
    lower = np.stack([np.cos(t), -0.48 * np.sin(t) ** 1.3], 1)
    return [np.concatenate([upper, lower]).astype(np.float32)]


def moon() -> list[Points]:
    t = np.linspace(np.pi / 2, 3 * np.pi / 2, 24)
    outer = np.stack([np.cos(t), np.sin(t)], 1)
    inner = np.stack([0.45 * np.cos(t[::-1]), np.sin(t[::-1])], 1)
    return [np.concatenate([outer, inner]).astype(np.float32)]


_POLE = polygon((-0.16, -0.7), (0.16, -0.7), (0.16, 1.0), (-0.16, 1.0))


def flag() -> list[Points]:
    return _POLE + polygon((-0.16, -1.0), (1.0, -0.6), (-0.16, -0.2))


def lamp() -> list[Points]:
    return [*_POLE, 0.42 * disc(24)[0] + np.array([0, -0.6], np.float32)]


def fish() -> list[Points]:
    return [0.7 * leaf()[0] * np.array([1, 1.3], np.float32), *polygon((0.5, 0), (1, 0.45), (1, -0.45))]


def wheel() -> list[Points]:
    spokes = [
        np.array([[-0.08, -0.95], [0.08, -0.95], [0.08, 0.95], [-0.08, 0.95]], np.float32) @ turn
        for turn in (np.eye(2, dtype=np.float32), np.array([[0, 1], [-1, 0]], np.float32))
    ]
    return [disc()[0], (0.75 * disc()[0])[::-1], *spokes]


def box() -> list[Points]:
    return polygon((-1, -0.7), (1, -0.7), (1, 0.7), (-1, 0.7))


def hull() -> list[Points]:
    return polygon(
        (-1, -0.1), (-0.45, -0.1), (-0.35, -0.75), (0.3, -0.75), (0.4, -0.1), (1, -0.1), (0.65, 0.5), (-0.65, 0.5)
    )


def cross() -> list[Points]:
    return polygon(
        (-1, -0.33), (-0.33, -0.33), (-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33),
        (1, 0.33), (0.33, 0.33), (0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33),
    )  # fmt: skip


def arrow() -> list[Points]:
    return polygon((-1, -0.22), (0.2, -0.22), (0.2, -0.65), (1, 0), (0.2, 0.65), (0.2, 0.22), (-1, 0.22))


def house() -> list[Points]:
    return polygon((-0.8, 1), (-0.8, -0.2), (0, -1), (0.8, -0.2), (0.8, 1))


def long_pole(top: list[Points]) -> list[Points]:
    """A pole with something on it, most of it farther from its top than the pole is wide several times over."""
    return [*polygon((-0.13, -0.5), (0.13, -0.5), (0.13, 1.0), (-0.13, 1.0)), *top]


def pennant() -> list[Points]:
    return long_pole(polygon((-0.13, -1.0), (0.75, -0.65), (-0.13, -0.3)))


def lantern() -> list[Points]:
    return long_pole([0.36 * disc(24)[0] + np.array([0, -0.64], np.float32)])


def sign() -> list[Points]:
    return long_pole(polygon((-0.42, -1.0), (0.42, -1.0), (0.42, -0.36), (-0.42, -0.36)))


def coverage(outlines: list[Points], size: tuple[int, int], thickness: int = 0) -> Canvas:
    """The share of each pixel inside the outlines (even-odd), or under lines of ``thickness`` quarter pixels."""
    height, width = size
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    points = [np.round(outline * _FINE).astype(np.int32) for outline in outlines]
    if thickness:
        cv2.polylines(fine, points, False, 255, thickness)
    else:
        cv2.fillPoly(fine, points, 255)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def union(outlines: list[Points], size: tuple[int, int]) -> Canvas:
    """The coverage of the union of parts. A part of opposite orientation is a hole in the part before it."""
    parts: list[list[Points]] = []
    for outline in outlines:
        if parts and _turns(outline) * _turns(parts[-1][0]) < 0 and len(outline) == len(parts[-1][0]):
            parts[-1].append(outline)
        else:
            parts.append([outline])
    covered = np.zeros(size, np.float32)
    for part in parts:
        covered = np.maximum(covered, coverage(part, size))
    return covered


def _turns(outline: Points) -> float:
    x, y = outline.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def area(outlines: list[Points]) -> float:
    """The area of an outline of the unit box, in units of that box's half side squared."""
    fine = 100
    inside = union([(fine * part + 1.5 * fine).astype(np.float32) for part in outlines], (3 * fine, 3 * fine))
    return float(inside.sum()) / fine**2

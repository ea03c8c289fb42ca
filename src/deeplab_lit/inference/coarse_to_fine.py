"""Coarse-to-fine search over a grid: every n-th point first, then points ever nearer to the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

Point = tuple[float, ...]


def steps(low: float, high: float, step: float) -> list[float]:
    """The values ``low``, ``low + step``, ... below ``high``, and ``high`` itself."""
    count = math.floor((high - low) / step + 1e-9)
    values = [low + i * step for i in range(count + 1)]
    if high - values[-1] < 1e-6 * step:  # the same value but for rounding
        values.pop()
    return [*values, high]


def coarse_to_fine(
    axes: Sequence[Sequence[float]],
    score: Callable[[Point], float],
    stage: Callable[[int, int], None] | None = None,
) -> tuple[Point, dict[Point, float]]:
    """Search a grid for the point with the highest score.

    Args:
        axes: the values of each parameter, ascending.
        score: the score of a point; called once for each point.
        stage: called before each stage with its stride and its number of new points.

    Returns:
        The best point, and the score of each point that was evaluated.
    """
    known: dict[Point, float] = {}
    stride = 2 ** max(0, math.ceil(math.log2(max(len(axis) for axis in axes))) - 1)
    near: list[list[int]] = [
        sorted({*range(0, len(axis), min(stride, max(1, len(axis) // 2))), len(axis) - 1}) for axis in axes
    ]
    while True:
        points = [tuple(axis[i] for axis, i in zip(axes, place, strict=True)) for place in product(*near)]
        new = [point for point in points if point not in known]
        if stage:
            stage(stride, len(new))
        for point in new:
            known[point] = score(point)
        # max takes the earliest of equal scores
        best = max(known, key=lambda point: known[point])
        if stride == 1 and not new:
            return best, known
        stride = max(1, stride // 2)
        centre = [list(axis).index(value) for axis, value in zip(axes, best, strict=True)]
        near = [
            sorted({i for i in (c - stride, c, c + stride) if 0 <= i < len(axis)})
            for axis, c in zip(axes, centre, strict=True)
        ]

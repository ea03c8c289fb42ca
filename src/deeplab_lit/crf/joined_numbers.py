"""Numbers of lattice points whose coordinates fill more than one integer, as with many channels or small deviations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.crf.point_numbers import number
from deeplab_lit.utils.arrays import Ints

Longs = NDArray[np.int64]
Numbered = Callable[[Ints], tuple[Longs, Longs]]
"""Fills numbers (N, d + 1) by one part of the coordinates; the different keys, and each direction's step of keys."""


def join(parts: Sequence[Numbered], vertices: Ints, pieces: int, parallel: bool) -> tuple[Ints, Ints]:
    """Number lattice points by all parts of their coordinates.

    Args:
        parts: numbers the vertices by a part of the coordinates, the most significant part first.
        vertices: filled with the numbers (N, d + 1).
        pieces, parallel: see :func:`deeplab_lit.crf.point_numbers.number`.

    Returns:
        The neighbours (d + 1, M, 2) of each point, M for none, and the largest distance of two neighbours along each
        direction (d + 1,).
    """
    after, count = _of_part(parts[0], vertices)
    other = np.empty_like(vertices)
    for part in parts[1:]:
        further, more = _of_part(part, other)
        found = number(vertices.astype(np.int64) * (more + 1) + other, vertices, pieces, parallel)
        first, second = np.divmod(found, more + 1)
        wanted = after[:, first].astype(np.int64) * (more + 1) + further[:, second]
        exists = (after[:, first] < count) & (further[:, second] < more)
        after = np.stack([_places(found, *each) for each in zip(wanted, exists, strict=True)])
        count = len(found)
    neighbours = np.full((*after.shape, 2), count, np.int32)
    neighbours[..., 0] = after
    for direction, following in enumerate(after):
        before = np.flatnonzero(following < count)
        neighbours[direction, following[before], 1] = before
    steps = np.where(after < count, np.abs(after - np.arange(count)), 0)
    return neighbours, steps.max(1).astype(np.int32)


def _of_part(part: Numbered, numbers: Ints) -> tuple[Ints, int]:
    """The next number along each direction (d + 1, M) among the different parts of coordinates, and their number M."""
    found, steps = part(numbers)
    every = np.ones(len(found), bool)
    return np.stack([_places(found, found + step, every) for step in steps]), len(found)


def _places(found: Longs, wanted: Longs, exists: NDArray[np.bool_]) -> Ints:
    """The places of wanted values among ascending ones; their number where a value is not among them."""
    places = np.searchsorted(found, wanted).clip(max=len(found) - 1)
    places[~exists | (found[places] != wanted)] = len(found)
    return places.astype(np.int32)

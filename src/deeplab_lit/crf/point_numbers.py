"""Numbers of lattice points, from their keys, by a hash table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from deeplab_lit.kernels.buffers import reused_array
from deeplab_lit.kernels.jit import compiled, kernel

_MIX = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.int64(-1)


def number(keys: NDArray[np.int64], vertices: NDArray[np.int32], parts: int, parallel: bool) -> NDArray[np.int64]:
    """Number distinct keys in ascending order.

    Args:
        keys: (N, d + 1), not negative.
        vertices: array of the same shape, filled with the numbers.
        parts: the number of pieces of work.
        parallel: use several threads.

    Returns:
        The distinct keys in ascending order.
    """
    counts: Any = [-1]
    capacity = 1 << (max(len(keys) // parts, 16) - 1).bit_length()
    while min(counts) < 0:  # at most as many points as keys; photographs rarely need a second round
        # a key and its number are adjacent, for one memory access; a table is at most half full
        tables, found = (
            reused_array("tables", (parts, 2 * capacity, 2), np.int64),
            reused_array("found", (parts, capacity), np.int64),
        )
        counts = _number[parallel](keys, tables, found, vertices)
        capacity *= 2
    every = np.concatenate([part[:count] for part, count in zip(found, counts, strict=True)])
    different, ranks = _merge(every, np.argsort(every))
    _renumber[parallel](vertices, ranks, np.cumsum(counts) - counts)
    return different


@kernel
def _number(keys, tables, found, vertices):  # type: ignore[no-untyped-def]
    """Number the points of each piece separately. Returns their counts, or -1 where ``found`` is too small."""
    parts, count = len(tables), len(keys)
    counts = np.empty(parts, np.int64)
    for part in prange(parts):
        first, last = part * count // parts, (part + 1) * count // parts
        counts[part] = _number_piece(keys[first:last], tables[part], found[part], vertices[first:last])
    return counts


@njit(nogil=True)
def _number_piece(keys, table, found, vertices):  # type: ignore[no-untyped-def]
    """Number points in the order of pixels. No array is replaced, which would count references in the inner loop."""
    count, corners = keys.shape
    bits = 1
    while (2 << bits) <= len(table):
        bits += 1
    table[:] = _EMPTY
    points = 0
    for n in range(count):
        for k in range(corners):
            key = keys[n, k]
            if n > 0 and key == keys[n - 1, k]:  # many pixels share vertices with the pixel before
                vertices[n, k] = vertices[n - 1, k]
                continue
            place = np.int64((np.uint64(key) * _MIX) >> np.uint64(64 - bits))
            while table[place, 0] != _EMPTY and table[place, 0] != key:
                place = (place + 1) & ((1 << bits) - 1)
            if table[place, 0] == _EMPTY:
                if points == len(found):
                    return -1
                table[place, 0], table[place, 1], found[points] = key, points, key
                points += 1
            vertices[n, k] = table[place, 1]
    return points


@compiled
def _merge(every, order):  # type: ignore[no-untyped-def]
    """The distinct keys in ascending order, and the number of each of ``every`` among them."""
    found, ranks = np.empty(len(every), np.int64), np.empty(len(every), np.int32)
    points = 0
    for i in range(len(order)):
        key = every[order[i]]
        if points == 0 or found[points - 1] != key:
            found[points] = key
            points += 1
        ranks[order[i]] = points - 1
    return found[:points].copy(), ranks


@kernel
def _renumber(vertices, ranks, firsts):  # type: ignore[no-untyped-def]
    """Replace the numbers within each piece by the numbers among all points."""
    parts, count = len(firsts), len(vertices)
    for part in prange(parts):
        for n in range(part * count // parts, (part + 1) * count // parts):
            for k in range(vertices.shape[1]):
                vertices[n, k] = ranks[firsts[part] + vertices[n, k]]

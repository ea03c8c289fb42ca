"""The mean field: its steps, compiled, with one pass over the data each."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from deeplab_lit.kernels.jit import kernel
from deeplab_lit.kernels.simd_rows import add_row, blur_row, copy_row, splat_row, update_row

_BLOCKS = 64  # pieces of work, shared among threads
_PIECE = 512  # lattice points that a step computes at a time
_TILE = 32  # pixels that are transposed together, from class-major to pixel-major order
_NEVER = np.float32(-1e30)  # the score of a padding label
_LOG2 = np.float32(0.6931472)


@njit(inline="always")
def _log(x):  # type: ignore[no-untyped-def]
    """log(1 + x) / x for x from -0.25 to 0.5, fitted by least squares."""
    value = np.float32(0.0542594253)
    for coefficient in (
        -0.120915211, 0.149968324, -0.16822814, 0.199755539, -0.249932636, 0.333336025, -0.50000066, 0.999999994,
    ):  # fmt: skip
        value = value * x + np.float32(coefficient)
    return value


@kernel
def begin(probabilities, bits, least, unary, marginals, lanes):  # type: ignore[no-untyped-def]
    """Logarithms and initial marginals (N, L) of probabilities (C, N), given also as the integers of their bits.

    The logarithm is the sum of that of the exponent and a polynomial in the mantissa; its error is at most 1e-6.
    """
    classes, count = probabilities.shape
    tiles = -(-count // _TILE)
    for block in prange(_BLOCKS):
        rows, scores = (
            np.zeros((_TILE, 8 * len(lanes)), np.float32),
            np.full((_TILE, 8 * len(lanes)), _NEVER, np.float32),
        )
        mantissa = np.empty(_TILE, np.int32)
        exponent, value = np.empty(_TILE, np.float32), mantissa.view(np.float32)
        clipped, total = np.empty(_TILE, np.int32), np.empty(_TILE, np.float32)
        clear = clipped.view(np.float32)
        for tile in range(block * tiles // _BLOCKS, (block + 1) * tiles // _BLOCKS):
            first = tile * _TILE
            size = min(_TILE, count - first)
            for i in range(size):
                total[i] = 0
            for c in range(classes):
                for i in range(size):
                    found = max(bits[c, first + i], least)  # positive numbers have the order of their bits
                    clipped[i] = found
                    # a mantissa from 0.75 to 1.5
                    carry = (found >> 22) & 1
                    exponent[i] = np.float32((found >> 23) - 127 + carry)
                    mantissa[i] = (found & 0x007FFFFF) | ((127 - carry) << 23)
                for i in range(size):
                    x = value[i] - np.float32(1)
                    total[i] += clear[i]
                    rows[i, c] = clear[i]
                    scores[i, c] = exponent[i] * _LOG2 + x * _log(x)
            for i in range(size):
                share = np.float32(1) / total[i]
                for c in range(classes):
                    rows[i, c] *= share
                copy_row(rows, i, marginals, first + i, lanes)
                copy_row(scores, i, unary, first + i, lanes)


@kernel
def begin_with_energies(energies, unary, lanes):  # type: ignore[no-untyped-def]
    """Scores (N, L), the negative energies (C, N), with 0 for the lowest energy of each pixel."""
    classes, count = energies.shape
    tiles = -(-count // _TILE)
    for block in prange(_BLOCKS):
        scores, lowest = np.full((_TILE, 8 * len(lanes)), _NEVER, np.float32), np.empty(_TILE, np.float32)
        for tile in range(block * tiles // _BLOCKS, (block + 1) * tiles // _BLOCKS):
            first = tile * _TILE
            size = min(_TILE, count - first)
            for i in range(size):
                lowest[i] = energies[0, first + i]
            for c in range(1, classes):
                for i in range(size):
                    lowest[i] = min(lowest[i], energies[c, first + i])
            for c in range(classes):
                for i in range(size):
                    scores[i, c] = lowest[i] - energies[c, first + i]
            for i in range(size):
                copy_row(scores, i, unary, first + i, lanes)


@kernel
def mix_labels(values, mixing, lanes):  # type: ignore[no-untyped-def]
    """Multiply each row (L,) of values (M, L), in place, by the matrix whose transpose is ``mixing`` (C, C)."""
    points, classes = len(values), len(mixing)
    for block in prange(_BLOCKS):
        rows = np.zeros((2, 8 * len(lanes)), np.float32)
        for p in range(block * points // _BLOCKS, (block + 1) * points // _BLOCKS):
            copy_row(values, p, rows, 0, lanes)
            rows[1] = 0
            for c in range(classes):
                for other in range(classes):
                    rows[1, other] += rows[0, c] * mixing[c, other]
            copy_row(rows, 1, values, p, lanes)


@kernel
def splat_and_blur(starts, pixels, shares, neighbours, reaches, rings, marginals, values, lanes):  # type: ignore[no-untyped-def]
    """Splat the marginals and blur them along each direction, in one pass over the lattice points.

    The numbers of neighbours are close, so each step can follow the previous one at a short distance. The rows between
    the two stay in the cache, in a ring of rows for each step but the last. The points are divided into parts. The rows
    around the boundary of two parts are computed in both.

    Args:
        starts, pixels, shares, reaches: of the lattice.
        neighbours: the lattice's, after :func:`into_rings`.
        rings: memory (parts, :func:`ring_rows`, L); its first dimension is the number of parts.
        marginals: (N, L).
        values: (M, L), the result.
    """
    points, steps, parts, nothing = len(starts) - 1, len(neighbours) + 1, len(rings), rings.shape[1] - 1
    # of each step: how many points it is behind the first one, the first row of its ring, and the ring's size
    lags, firsts, sizes = np.zeros(steps, np.int64), np.zeros(steps, np.int64), np.ones(steps, np.int64)
    for step in range(steps - 1):
        lags[step + 1], sizes[step] = lags[step] + reaches[step], _PIECE + 2 * reaches[step]
        firsts[step + 1] = firsts[step] + sizes[step]
    last_lag = lags[steps - 1]
    for part in prange(parts):
        begin, end, rows = part * points // parts, (part + 1) * points // parts, rings[part]
        rows[nothing] = 0
        for turn in range(-(-(end - begin + 2 * last_lag) // _PIECE)):
            for step in range(steps):
                low, high = max(begin - last_lag + lags[step], 0), min(end + last_lag - lags[step], points)
                first = begin - last_lag + turn * _PIECE - lags[step]
                first, last = min(max(first, low), high), min(max(first + _PIECE, low), high)
                if first == last:
                    continue
                place, wrap = firsts[step] + first % sizes[step], firsts[step] + sizes[step]
                if step == 0:
                    for p in range(first, last):
                        splat_row(marginals, pixels, shares, starts[p], starts[p + 1], rows, place, lanes)
                        place = place + 1 if place + 1 < wrap else firsts[0]
                    continue
                own, own_wrap = firsts[step - 1] + first % sizes[step - 1], firsts[step]
                if step < steps - 1:
                    for p in range(first, last):
                        left, right = neighbours[step - 1, p, 0], neighbours[step - 1, p, 1]
                        blur_row(rows, own, left, right, rows, place, lanes)
                        own = own + 1 if own + 1 < own_wrap else firsts[step - 1]
                        place = place + 1 if place + 1 < wrap else firsts[step]
                else:
                    for p in range(first, last):
                        left, right = neighbours[step - 1, p, 0], neighbours[step - 1, p, 1]
                        blur_row(rows, own, left, right, values, p, lanes)
                        own = own + 1 if own + 1 < own_wrap else firsts[step - 1]


@kernel
def into_rings(neighbours, reaches):  # type: ignore[no-untyped-def]
    """Replace the numbers of neighbours by the rows of the rings in which :func:`splat_and_blur` keeps them."""
    directions, points = neighbours.shape[:2]
    nothing = np.int64(0)
    for j in range(directions):
        nothing += _PIECE + 2 * reaches[j]
    for j in prange(directions):
        size, first = _PIECE + 2 * np.int64(reaches[j]), np.int64(0)
        for i in range(j):
            first += _PIECE + 2 * np.int64(reaches[i])
        for lap in range(0, points, size):
            for p in range(lap, min(lap + size, points)):
                for side in range(2):
                    # a neighbour is less than half a ring away; without branches, which would be mispredicted
                    row = np.int64(neighbours[j, p, side]) - lap
                    absent = (points - lap - 1 - row) >> 63
                    row += (size & (row >> 63)) - (size & ~((row - size) >> 63))
                    neighbours[j, p, side] = ((first + row) & ~absent) | (nothing & absent)


def ring_rows(reaches: NDArray[np.int32]) -> int:
    """The number of rows of all rings of one part, and one row of zeros."""
    return sum(_PIECE + 2 * int(reach) for reach in reaches) + 1


# Filters are given as vertices, weights, values and corners, since a parallel loop cannot unpack a tuple.


@kernel
def add_slice(scores, vertices, weights, values, corners, result, lanes):  # type: ignore[no-untyped-def]
    """The scores (N, L) plus the slice of a filter."""
    count = scores.shape[0]
    for block in prange(_BLOCKS):
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            add_row(scores, n, vertices, weights, values, corners, result, lanes)


@kernel
def update(unary, near, near_weights, near_values, six, close, close_weights, close_values, three, marginals, lanes):  # type: ignore[no-untyped-def]  # fmt: skip
    """New marginals (N, L)."""
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            update_row(
                unary, n, near, near_weights, near_values, six, close, close_weights, close_values, three,
                marginals, n, lanes,
            )  # fmt: skip


@kernel
def finish(unary, near, near_weights, near_values, six, close, close_weights, close_values, three, result, lanes):  # type: ignore[no-untyped-def]  # fmt: skip
    """As :func:`update`, but marginals (C, N) in single precision."""
    count = unary.shape[0]
    tiles = -(-count // _TILE)
    for block in prange(_BLOCKS):
        rows = np.empty((_TILE, 8 * len(lanes)), np.float32)
        for tile in range(block * tiles // _BLOCKS, (block + 1) * tiles // _BLOCKS):
            first = tile * _TILE
            size = min(_TILE, count - first)
            for i in range(size):
                update_row(
                    unary, first + i, near, near_weights, near_values, six, close, close_weights, close_values, three,
                    rows, i, lanes,
                )  # fmt: skip
            for c in range(result.shape[0]):
                for i in range(size):
                    result[c, first + i] = rows[i, c]


@kernel
def decide(unary, near, near_weights, near_values, six, close, close_weights, close_values, three, best, number, lanes):  # type: ignore[no-untyped-def]  # fmt: skip
    """As :func:`update`, but only the most probable class (N,) of each pixel."""
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        row = np.empty((1, 8 * len(lanes)), np.float32)
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            update_row(
                unary, n, near, near_weights, near_values, six, close, close_weights, close_values, three,
                row, 0, lanes,
            )  # fmt: skip
            best[n] = 0
            for c in range(1, number):
                if row[0, c] > row[0, best[n]]:
                    best[n] = c

"""The steps of the mean field, compiled: each passes over its data once."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from deeplab_lit.crf.compiled import kernel
from deeplab_lit.crf.rows import blur_row, copy_row, splat_row, update_row

_BLOCKS = 64  # pieces of work that threads share
_PIECE = 512  # lattice points that a step does at a time
_TILE = 32  # pixels between an order by class and one by pixel
_NEVER = np.float32(-1e4)  # the score of a label that pads the others
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
    """Logarithms and first marginals (N, L) of probabilities (C, N), whose bits are also given as integers.

    The logarithm is the exponent's and a polynomial in the mantissa's, right to 1e-6.
    """
    classes, count = probabilities.shape
    tiles = -(-count // _TILE)
    for block in prange(_BLOCKS):
        rows, scores = np.zeros((_TILE, len(lanes)), np.float32), np.full((_TILE, len(lanes)), _NEVER, np.float32)
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
                    found = max(bits[c, first + i], least)  # numbers above 0 are in the order of their bits
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
def splat_and_blur(starts, pixels, shares, neighbours, lags, parts, marginals, one, two, lanes):  # type: ignore[no-untyped-def]
    """Marginals onto the lattice and blurred along each direction, in one pass over the points.

    Neighbours lie close together, so each step follows the one before at a distance: it finds its points in the cache,
    and writes over none that are still to be read. Threads share the points; around the ends of their parts, a step
    leaves out what it cannot know yet, which is done last.

    Args:
        starts, pixels, shares, neighbours: of the lattice and the filter.
        lags: by how many points each step (the splat, then each direction) is behind the first.
        parts: pieces of work; the last lag fits twice into each.
        marginals: (N, L).
        one, two: values of the lattice points (M, L). The result is in ``one`` if the directions are even in number.
    """
    points, steps = len(starts) - 1, len(lags)
    for part in prange(parts):
        begin, end = part * points // parts, (part + 1) * points // parts
        for turn in range(-(-(end - begin + lags[steps - 1]) // _PIECE)):
            for step in range(steps):
                low = begin + lags[step] if part > 0 else 0
                high = end - lags[step] if part < parts - 1 else points
                first = begin + turn * _PIECE - lags[step]
                first, last = min(max(first, low), high), min(max(first + _PIECE, low), high)
                if step == 0:
                    for p in range(first, last):
                        splat_row(marginals, pixels, shares, starts[p], starts[p + 1], one, p, lanes)
                elif step % 2:
                    for p in range(first, last):
                        blur_row(one, two, p, neighbours[step - 1, p, 0], neighbours[step - 1, p, 1], lanes)
                else:
                    for p in range(first, last):
                        blur_row(two, one, p, neighbours[step - 1, p, 0], neighbours[step - 1, p, 1], lanes)
    for part in prange(1, parts):
        middle = part * points // parts
        for step in range(1, steps):
            if step % 2:
                for p in range(middle - lags[step], middle + lags[step]):
                    blur_row(one, two, p, neighbours[step - 1, p, 0], neighbours[step - 1, p, 1], lanes)
            else:
                for p in range(middle - lags[step], middle + lags[step]):
                    blur_row(two, one, p, neighbours[step - 1, p, 0], neighbours[step - 1, p, 1], lanes)


@kernel
def update(
    unary, vertices, weights, values, corners, more_vertices, more_weights, more_values, more_corners, marginals, lanes
):  # type: ignore[no-untyped-def]
    """New marginals (N, L); from both filters' vertices, weights, values and corners."""
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            update_row(
                unary,
                n,
                vertices,
                weights,
                values,
                corners,
                more_vertices,
                more_weights,
                more_values,
                more_corners,
                marginals,
                n,
                lanes,
            )


@kernel
def finish(
    unary, vertices, weights, values, corners, more_vertices, more_weights, more_values, more_corners, result, lanes
):  # type: ignore[no-untyped-def]
    """As :func:`update`, but marginals (C, N) in single precision."""
    count = unary.shape[0]
    tiles = -(-count // _TILE)
    for block in prange(_BLOCKS):
        rows = np.empty((_TILE, len(lanes)), np.float32)
        for tile in range(block * tiles // _BLOCKS, (block + 1) * tiles // _BLOCKS):
            first = tile * _TILE
            size = min(_TILE, count - first)
            for i in range(size):
                update_row(
                    unary,
                    first + i,
                    vertices,
                    weights,
                    values,
                    corners,
                    more_vertices,
                    more_weights,
                    more_values,
                    more_corners,
                    rows,
                    i,
                    lanes,
                )
            for c in range(result.shape[0]):
                for i in range(size):
                    result[c, first + i] = rows[i, c]


@kernel
def decide(
    unary,
    vertices,
    weights,
    values,
    corners,
    more_vertices,
    more_weights,
    more_values,
    more_corners,
    classes,
    result,
    lanes,
):  # type: ignore[no-untyped-def]
    """As :func:`update`, but only the most probable class (N,) of each pixel."""
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        row = np.empty((1, len(lanes)), np.float32)
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            update_row(
                unary,
                n,
                vertices,
                weights,
                values,
                corners,
                more_vertices,
                more_weights,
                more_values,
                more_corners,
                row,
                0,
                lanes,
            )
            best = 0
            for c in range(1, classes):
                if row[0, c] > row[0, best]:
                    best = c
            result[n] = best

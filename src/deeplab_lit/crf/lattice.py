"""The permutohedral lattice: high-dimensional Gaussian filtering as splat, blur and slice.

Features have d dimensions, scaled so that the Gaussian has unit deviation. The lattice tiles the space of features with
simplices of d + 1 vertices. Splat: each pixel distributes its value over the vertices of the simplex that contains it.
Blur: the values are blurred along the d + 1 directions of the lattice. Slice: each pixel collects the values of its
vertices.

The coordinates of a lattice point are packed into one integer, its key. Points are numbered in the order of their keys.
A step along a direction adds a constant to the key, so the neighbours of ascending points ascend too. Two pointers
therefore find all neighbours, and a blur reads three sequential streams of memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from deeplab_lit.crf.point_numbers import number
from deeplab_lit.kernels.buffers import Allocate, new_array, reused_array
from deeplab_lit.kernels.jit import compiled, kernel, threads
from deeplab_lit.utils.arrays import Floats, Ints
from deeplab_lit.utils.errors import UserError

_TILE = 16  # pixels that are embedded together
_BLOCKS = 64  # pieces of work, shared among threads

_FINEST = 2**20  # above it, single precision does not resolve the position of a pixel in its simplex


@dataclass(frozen=True)
class Lattice:
    """A permutohedral lattice: the vertices and weights of its pixels, and the neighbours of its points.

    Attributes:
        vertices: the lattice points of each pixel's simplex (N, d + 1).
        weights: the pixel's weight at each of them (N, d + 1); they sum to 1.
        starts, pixels, shares: the same by lattice point: entries ``starts[p]:starts[p + 1]`` belong to point p.
        neighbours: the two neighbours of each point along each direction (d + 1, M, 2); M stands for none.
        reaches: the largest difference of the numbers of two neighbours along each direction (d + 1,).
        mixing: the transpose of the matrix (C, C) that mixes the labels of a filtered value; None: the identity.
    """

    vertices: Ints
    weights: Floats
    starts: Ints
    pixels: Ints
    shares: Floats
    neighbours: Ints
    reaches: Ints
    mixing: Floats | None = None

    @property
    def points(self) -> int:
        """The number of lattice points, M."""
        return len(self.starts) - 1

    @property
    def gain(self) -> float:
        """The factor of a slice, since the weights of the blurs add up to more than 1."""
        return 1 / (1 + 2.0 ** -(self.vertices.shape[1] - 1))


def build(features: Floats, parallel: bool = True, allocate: Allocate = new_array) -> Lattice:
    """Build the lattice of the features of pixels.

    Args:
        features: (N, d), in units of the Gaussian's deviation.
        parallel: use several threads.
        allocate: allocates the arrays.

    Raises:
        UserError: the features have too large a range, since the deviations are too small.
    """
    count, d = features.shape
    scale = np.array([1 / math.sqrt((i + 1) * (i + 2)) for i in range(d)]) * math.sqrt(2 / 3) * (d + 1)
    strides, offset = _packing(features, scale.astype(np.float32))
    keys, weights = reused_array("keys", (count, d + 1), np.int64), allocate("weights", (count, d + 1), np.float32)
    _embed[parallel](features, scale.astype(np.float32), strides, offset, keys, weights)
    vertices = allocate("vertices", keys.shape, np.int32)
    parts = threads() if parallel else 1
    found = number(keys, vertices, parts, parallel)
    deltas = np.array([(d + 1) * (strides[j] if j < d else 0) - strides.sum() for j in range(d + 1)], np.int64)
    neighbours = allocate("neighbours", (d + 1, len(found), 2), np.int32)
    reaches = _neighbours[parallel](found, deltas, neighbours)
    pixels, shares = allocate("pixels", (keys.size,), np.int32), allocate("shares", (keys.size,), np.float32)
    starts = _by_point[parallel](vertices, weights, len(found), parts, pixels, shares)
    return Lattice(vertices, weights, starts, pixels, shares, neighbours, reaches)


def _packing(features: Floats, scale: Floats) -> tuple[NDArray[np.int64], int]:
    """Strides and offset that pack the first d coordinates of a lattice point into one integer.

    The last coordinate, the negative sum of the others, is the most significant. It depends only on the last feature,
    so that the points of an image plane are ordered row by row.
    """
    d = features.shape[1]
    lowest, highest = _extent(features)
    low, high = lowest.astype(np.float64) * scale, highest.astype(np.float64) * scale
    # coordinate j is the sum of the later scaled features minus j times its own
    lows = [low[j:].sum() - (j * high[j - 1] if j else 0.0) for j in (d, *range(d - 1))]
    highs = [high[j:].sum() - (j * low[j - 1] if j else 0.0) for j in (d, *range(d - 1))]
    # rounding changes a coordinate by up to d + 1; so does the step to a vertex, and that to a neighbour
    margin = 4 * (d + 1)
    sizes = [int(b - a) + 2 * margin for a, b in zip(lows, highs, strict=True)]
    if math.prod(sizes) >= 2**62 or max(sizes) > _FINEST:
        raise UserError(
            "the deviations of the CRF are too small for this image: its lattice would have too many points."
        )
    spans = [math.prod(sizes[j + 1 :]) for j in range(d)]
    firsts = [math.floor(a) - margin for a in lows]
    offset = -sum(first * span for first, span in zip(firsts, spans, strict=True))
    return np.array([span - spans[0] for span in (*spans[1:], 0)], np.int64), offset


@compiled
def _extent(features):  # type: ignore[no-untyped-def]
    low, high = features[0].copy(), features[0].copy()
    for n in range(features.shape[0]):
        for i in range(features.shape[1]):
            low[i], high[i] = min(low[i], features[n, i]), max(high[i], features[n, i])
    return low, high


@kernel
def _embed(features, scale, strides, offset, keys, weights):  # type: ignore[no-untyped-def]
    """The keys and weights (N, d + 1) of each pixel's vertices; loops over the pixels of a tile are vectorised."""
    count, d = features.shape
    tiles, all_strides, corners = -(-count // _TILE), strides.sum(), d + 1
    for block in prange(_BLOCKS):
        elevated, own = np.empty((corners, _TILE), np.float32), np.empty((corners, _TILE), np.float32)
        rest, rank = np.empty((corners, _TILE), np.int32), np.empty((corners, _TILE), np.int32)
        share, key = np.empty(_TILE, np.float32), np.empty(_TILE, np.int64)
        total, excess = np.empty(_TILE, np.float32), np.empty(_TILE, np.int32)
        for tile in range(block * tiles // _BLOCKS, (block + 1) * tiles // _BLOCKS):
            # the last tile overlaps the one before, if there is one
            first = max(0, min(tile * _TILE, count - _TILE))
            size = min(_TILE, count)
            total[:], excess[:] = 0, 0
            # to the plane of coordinates that sum to 0
            for j in range(d, 0, -1):
                for i in range(_TILE):
                    value = features[min(first + i, count - 1), j - 1] * scale[j - 1]
                    elevated[j, i] = total[i] - np.float32(j) * value
                    total[i] += value
            for i in range(_TILE):  # a loop, since assigning the row would take seconds more to compile
                elevated[0, i] = total[i]
            # the nearest point whose coordinates are all multiples of d + 1
            for j in range(corners):
                for i in range(_TILE):
                    quotient = np.int32(math.floor(elevated[j, i] * np.float32(1 / corners) + np.float32(0.5)))
                    rest[j, i] = quotient * np.int32(corners)
                    excess[i] += quotient
                    own[j, i] = elevated[j, i] - np.float32(rest[j, i])
                    rank[j, i] = 0
            for j in range(d):
                for k in range(j + 1, corners):
                    for i in range(_TILE):
                        less = np.int32(own[j, i] < own[k, i])  # added without a branch, which would be mispredicted
                        rank[j, i] += less
                        rank[k, i] += np.int32(1) - less
            # rounding may leave the plane; the coordinates with the largest rounding are moved back
            for j in range(corners):
                for i in range(_TILE):
                    found = rank[j, i] + excess[i]
                    back = np.int32(found < 0) - np.int32(found > d)
                    rank[j, i] = found + back * np.int32(corners)
                    rest[j, i] += back * np.int32(corners)
                    own[j, i] = (elevated[j, i] - np.float32(rest[j, i])) * np.float32(1 / corners)
            for i in range(_TILE):
                key[i] = offset
            for j in range(d):
                for i in range(_TILE):
                    key[i] += rest[j, i] * strides[j]
            for k in range(corners):
                # the difference of coordinates of adjacent ranks; the rank before the first is the last
                for i in range(_TILE):
                    share[i] = np.float32(k == 0)
                for j in range(corners):
                    for i in range(_TILE):
                        here = np.float32(rank[j, i] == d - k) - np.float32(rank[j, i] == (d + 1 - k) % corners)
                        share[i] += here * own[j, i]
                for i in range(size):
                    keys[first + i, k], weights[first + i, k] = key[i], share[i]
                # at the next vertex each coordinate is larger by 1, but that of the last remaining rank smaller by d
                for j in range(d):
                    for i in range(_TILE):
                        key[i] -= np.int64(rank[j, i] == d - k) * (corners * strides[j])
                for i in range(_TILE):
                    key[i] += all_strides


@kernel
def _neighbours(found, deltas, result):  # type: ignore[no-untyped-def]
    """The neighbours (d + 1, M, 2) of each point, and the largest distance of two neighbours in each direction."""
    points, directions = len(found), len(deltas)
    reaches = np.zeros(directions, np.int32)
    for j in prange(directions):
        result[j] = points
        other, reach = 0, 0
        for p in range(points):
            wanted = found[p] + deltas[j]
            while other < points and found[other] < wanted:
                other += 1
            if other < points and found[other] == wanted:
                # if b is a's neighbour on one side, a is b's neighbour on the other
                result[j, p, 0] = other
                result[j, other, 1] = p
                reach = max(reach, abs(other - p))
        reaches[j] = reach
    return reaches


@kernel
def _by_point(vertices, weights, points, parts, pixels, shares):  # type: ignore[no-untyped-def]
    """Order the pixels' entries by lattice point: the start of each point's entries, their pixels and weights."""
    count, corners = vertices.shape
    places = np.zeros((parts, points), np.int32)
    for part in prange(parts):
        for n in range(part * count // parts, (part + 1) * count // parts):
            for k in range(corners):
                places[part, vertices[n, k]] += 1
    starts = np.empty(points + 1, np.int32)
    total = 0
    for p in range(points):
        starts[p] = total
        for part in range(parts):
            total, places[part, p] = total + places[part, p], total
    starts[points] = total
    for part in prange(parts):
        for n in range(part * count // parts, (part + 1) * count // parts):
            for k in range(corners):
                place = places[part, vertices[n, k]]
                pixels[place], shares[place] = n, weights[n, k]
                places[part, vertices[n, k]] = place + 1
    return starts


@kernel
def filter_ones(starts, pixels, shares, neighbours, vertices, weights):  # type: ignore[no-untyped-def]
    """Filter ones with ``shares`` and ``weights``: the result of each pixel (N,), and the largest sum of a point."""
    points, count = len(starts) - 1, vertices.shape[0]
    old, new = np.zeros(points + 1, np.float32), np.zeros(points + 1, np.float32)
    for p in prange(points):
        total = np.float32(0)
        for entry in range(starts[p], starts[p + 1]):
            total += shares[entry]
        old[p] = total
    for j in range(neighbours.shape[0]):
        for p in prange(points):
            new[p] = old[p] + np.float32(0.5) * (old[neighbours[j, p, 0]] + old[neighbours[j, p, 1]])
        old, new = new, old
    result = np.empty(count, np.float32)
    for n in prange(count):
        total = np.float32(0)
        for k in range(vertices.shape[1]):
            total += weights[n, k] * old[vertices[n, k]]
        result[n] = total
    return result, old.max()

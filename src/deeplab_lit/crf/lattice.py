"""The permutohedral lattice: high-dimensional Gaussian filtering as splat, blur and slice.

Features live in d dimensions, scaled so that the Gaussian has unit deviation. The lattice tiles that space with
simplices of d + 1 vertices; each pixel spreads its value over the vertices of the simplex that it lies in (splat), the
values are blurred along the d + 1 directions of the lattice, and each pixel collects them again (slice).

A lattice point is one integer that packs its coordinates, and points are numbered in the order of those integers. A
step along a direction adds a constant, so the neighbours of ascending points ascend too: they are found by walking two
pointers, and a blur reads three streams of memory from front to back instead of jumping about.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from deeplab_lit.crf.compiled import compiled, kernel
from deeplab_lit.errors import UserError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Lattice:
    """Where pixels and lattice points meet.

    Attributes:
        vertices: for each pixel the lattice points of its simplex (N, d + 1).
        weights: the pixel's share in each of them (N, d + 1); they sum to 1.
        starts, pixels, shares: the same by lattice point: entries ``starts[p]:starts[p + 1]`` belong to point p.
        neighbours: the two neighbours of each point along each direction (d + 1, M, 2); M where there is none.
        lags: how many points a blur has to be behind the splat (d + 2; the splat itself first, 0) so that the step
            before it is done with all neighbours, and its own neighbours are not yet needed by that one.
    """

    vertices: Ints
    weights: Floats
    starts: Ints
    pixels: Ints
    shares: Floats
    neighbours: Ints
    lags: Ints

    @property
    def points(self) -> int:
        """The number of lattice points, M."""
        return len(self.starts) - 1

    @property
    def gain(self) -> float:
        """What a slice is multiplied by, since blurring adds up to more than 1."""
        return 1 / (1 + 2.0 ** -(self.vertices.shape[1] - 1))


def build(features: Floats, parallel: bool = True) -> Lattice:
    """The lattice of some pixels' features.

    Args:
        features: (N, d), in units of the Gaussian's deviation.
        parallel: use several threads.

    Raises:
        UserError: the features spread too far (more than 2^62 possible points): the deviations are too small.
    """
    d = features.shape[1]
    scale = np.array([1 / math.sqrt((i + 1) * (i + 2)) for i in range(d)]) * math.sqrt(2 / 3) * (d + 1)
    strides, offset = _packing(features, scale.astype(np.float32))
    keys, weights = _embed[parallel](features, scale.astype(np.float32), strides, offset)
    vertices, found = _numbered(keys, threads() if parallel else 1)
    deltas = np.array([(d + 1) * (strides[j] if j < d else 0) - strides.sum() for j in range(d + 1)], np.int64)
    neighbours, reaches = _neighbours[parallel](found, deltas)
    lags = np.cumsum([0, *(max(pair) for pair in pairwise([0, *reaches]))]).astype(np.int32)
    starts, pixels, shares = _by_point(vertices, weights, len(found))
    return Lattice(vertices, weights, starts, pixels, shares, neighbours, lags)


def _packing(features: Floats, scale: Floats) -> tuple[NDArray[np.int64], int]:
    """Strides and offset that make one integer of a lattice point's first d coordinates.

    The last coordinate, which is less the sum of the others, counts most. It depends on the last feature alone: points
    of an image's plane come row by row.
    """
    d = features.shape[1]
    lowest, highest = _extent(features)
    low, high = lowest.astype(np.float64) * scale, highest.astype(np.float64) * scale
    # coordinate j is the sum of the later scaled features less j times its own
    lows = [low[j:].sum() - (j * high[j - 1] if j else 0.0) for j in (d, *range(d - 1))]
    highs = [high[j:].sum() - (j * low[j - 1] if j else 0.0) for j in (d, *range(d - 1))]
    # rounding moves a coordinate by up to d + 1, a vertex and a neighbour by as much again
    margin = 4 * (d + 1)
    sizes = [int(b - a) + 2 * margin for a, b in zip(lows, highs, strict=True)]
    if math.prod(sizes) >= 2**62:
        raise UserError(
            "the deviations of the CRF are too small for this image: its lattice would have too many points."
        )
    rooms = [math.prod(sizes[j + 1 :]) for j in range(d)]
    firsts = [math.floor(a) - margin for a in lows]
    offset = -sum(first * room for first, room in zip(firsts, rooms, strict=True))
    return np.array([room - rooms[0] for room in (*rooms[1:], 0)], np.int64), offset


@compiled
def _extent(features):  # type: ignore[no-untyped-def]
    low, high = features[0].copy(), features[0].copy()
    for n in range(features.shape[0]):
        for i in range(features.shape[1]):
            low[i], high[i] = min(low[i], features[n, i]), max(high[i], features[n, i])
    return low, high


@kernel
def _embed(features, scale, strides, offset):  # type: ignore[no-untyped-def]
    count, d = features.shape
    keys = np.empty((count, d + 1), np.int64)
    weights = np.empty((count, d + 1), np.float32)
    blocks = max(1, min(64, count // 256))
    all_strides = strides.sum()
    for block in prange(blocks):
        elevated, rest = np.empty(d + 1, np.float32), np.empty(d + 1, np.int32)
        rank, share = np.empty(d + 1, np.int32), np.empty(d + 2, np.float32)
        by_rank = np.empty(d + 1, np.int64)
        for n in range(block * count // blocks, (block + 1) * count // blocks):
            # onto the plane of coordinates that sum to 0
            total = np.float32(0)
            for j in range(d, 0, -1):
                value = features[n, j - 1] * scale[j - 1]
                elevated[j] = total - np.float32(j) * value
                total += value
            elevated[0] = total
            # the nearest point whose coordinates are all multiples of d + 1
            excess = np.int32(0)
            for i in range(d + 1):
                quotient = np.int32(math.floor(elevated[i] / np.float32(d + 1) + np.float32(0.5)))
                rest[i] = quotient * (d + 1)
                excess += quotient
                rank[i] = 0
            for i in range(d):
                own = elevated[i] - rest[i]
                for j in range(i + 1, d + 1):
                    less = own < elevated[j] - rest[j]  # added, since a branch would be guessed wrong
                    rank[i] += less
                    rank[j] += 1 - less
            # rounding may leave the plane: the coordinates that were rounded most are moved back
            for i in range(d + 1):
                rank[i] += excess
                if rank[i] < 0:
                    rank[i] += d + 1
                    rest[i] += d + 1
                elif rank[i] > d:
                    rank[i] -= d + 1
                    rest[i] -= d + 1
            for i in range(d + 2):
                share[i] = 0
            for i in range(d + 1):
                value = (elevated[i] - rest[i]) / np.float32(d + 1)
                share[d - rank[i]] += value
                share[d + 1 - rank[i]] -= value
            share[0] += np.float32(1) + share[d + 1]
            key = np.int64(offset)
            by_rank[rank[d]] = 0
            for i in range(d):
                key += rest[i] * strides[i]
                by_rank[rank[i]] = strides[i]
            for k in range(d + 1):
                keys[n, k] = key
                weights[n, k] = share[k]
                # to the next vertex every coordinate moves by 1, the one that ranks last among the rest by -d
                key += all_strides - (d + 1) * by_rank[d - k]
    return keys, weights


_MIX = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.int64(-1)


@compiled
def _number(keys, table, found, vertices):  # type: ignore[no-untyped-def]
    """Number the lattice points in the order in which pixels meet them; their count, or -1 if ``found`` is too small.

    Arrays come from the caller and are never replaced: numba would count references in the inner loop.
    """
    count, corners = keys.shape
    bits = 1
    while (2 << bits) <= len(table):
        bits += 1
    table[:] = _EMPTY
    points = 0
    for n in range(count):
        for k in range(corners):
            key = keys[n, k]
            if n > 0 and key == keys[n - 1, k]:  # many pixels share vertices with the one beside them
                vertices[n, k] = vertices[n - 1, k]
                continue
            place = _find(table, bits, key)
            if table[place, 0] == _EMPTY:
                if points == len(found):
                    return -1
                table[place, 0], table[place, 1], found[points] = key, points, key
                points += 1
            vertices[n, k] = table[place, 1]
    return points


@njit(inline="always")  # becomes part of its callers, so no file of its own
def _home(bits, key):  # type: ignore[no-untyped-def]
    return np.int64((np.uint64(key) * _MIX) >> np.uint64(64 - bits))


@njit(inline="always")
def _find(table, bits, key):  # type: ignore[no-untyped-def]
    """Where a key lies in the table, or the empty place where it belongs."""
    place = _home(bits, key)
    while table[place, 0] != _EMPTY and table[place, 0] != key:
        place = (place + 1) & ((1 << bits) - 1)
    return place


def _points_of(keys: NDArray[np.int64]) -> tuple[Ints, NDArray[np.int64]]:
    """Numbers (N, d + 1) of some pixels' lattice points, and the points' keys."""
    vertices, room = np.empty(keys.shape, np.int32), 1 << (max(len(keys), 16) - 1).bit_length()
    while True:  # at most as many points as keys; photographs hardly ever need a second round
        # a key and its number lie side by side, for one access to memory; the table is at most half full
        table, found = np.empty((2 * room, 2), np.int64), np.empty(room, np.int64)
        points = _number(keys, table, found, vertices)
        if points >= 0:
            return vertices, found[:points]
        room *= 2


@kernel
def _neighbours(found, deltas):  # type: ignore[no-untyped-def]
    points, directions = len(found), len(deltas)
    result = np.full((directions, points, 2), points, np.int32)
    reaches = np.zeros(directions, np.int32)  # the largest distance of neighbours
    for j in prange(directions):
        other, reach = 0, 0
        for p in range(points):
            wanted = found[p] + deltas[j]
            while other < points and found[other] < wanted:
                other += 1
            if other < points and found[other] == wanted:
                # who has this neighbour on one side is that one's neighbour on the other
                result[j, p, 0] = other
                result[j, other, 1] = p
                reach = max(reach, abs(other - p))
        reaches[j] = reach
    return result, reaches


def _numbered(keys: NDArray[np.int64], parts: int) -> tuple[Ints, NDArray[np.int64]]:
    """Number the lattice points in the order of their keys: (N, d + 1) numbers, and the keys in that order."""
    ends = [len(keys) * part // parts for part in range(parts + 1)]
    pieces = [keys[a:b] for a, b in pairwise(ends)]
    with ThreadPoolExecutor(parts) as pool:  # the numbering does not hold the interpreter's lock
        numbered = list(pool.map(_points_of, pieces))
        every = np.concatenate([points for _, points in numbered])
        found, ranks = _merge(every, np.argsort(every))
        vertices, first = np.empty(keys.shape, np.int32), np.cumsum([0, *(len(points) for _, points in numbered)])

        def place(part: int) -> None:
            _renumber(numbered[part][0], ranks[first[part] :], vertices[ends[part] : ends[part + 1]])

        list(pool.map(place, range(parts)))
    return vertices, found


@compiled
def _merge(every, order):  # type: ignore[no-untyped-def]
    """The different keys in their order, and the number of each of ``every`` among them."""
    found, ranks = np.empty(len(every), np.int64), np.empty(len(every), np.int32)
    points = 0
    for i in range(len(order)):
        key = every[order[i]]
        if points == 0 or found[points - 1] != key:
            found[points] = key
            points += 1
        ranks[order[i]] = points - 1
    return found[:points].copy(), ranks


@compiled
def _renumber(old, ranks, new):  # type: ignore[no-untyped-def]
    for n in range(old.shape[0]):
        for k in range(old.shape[1]):
            new[n, k] = ranks[old[n, k]]


@compiled
def _by_point(vertices, weights, points):  # type: ignore[no-untyped-def]
    count, corners = vertices.shape
    starts = np.zeros(points + 2, np.int32)
    for n in range(count):
        for k in range(corners):
            starts[vertices[n, k] + 2] += 1
    for p in range(points):
        starts[p + 2] += starts[p + 1]
    pixels, shares = np.empty(count * corners, np.int32), np.empty(count * corners, np.float32)
    for n in range(count):
        for k in range(corners):
            place = starts[vertices[n, k] + 1]
            pixels[place], shares[place] = n, weights[n, k]
            starts[vertices[n, k] + 1] = place + 1
    return starts[:-1].copy(), pixels, shares


@compiled
def filter_ones(starts, pixels, shares, neighbours, vertices, weights):  # type: ignore[no-untyped-def]
    """Filter ones, weighted by ``shares`` and ``weights``: each pixel's result (N,), and the largest point's sum."""
    points, count = len(starts) - 1, vertices.shape[0]
    old, new = np.zeros(points + 1, np.float32), np.zeros(points + 1, np.float32)
    for p in range(points):
        for entry in range(starts[p], starts[p + 1]):
            old[p] += shares[entry]
    for j in range(neighbours.shape[0]):
        for p in range(points):
            new[p] = old[p] + np.float32(0.5) * (old[neighbours[j, p, 0]] + old[neighbours[j, p, 1]])
        old, new = new, old
    result = np.empty(count, np.float32)
    for n in range(count):
        total = np.float32(0)
        for k in range(vertices.shape[1]):
            total += weights[n, k] * old[vertices[n, k]]
        result[n] = total
    return result, old.max()


def threads() -> int:
    """Threads that parallel kernels use."""
    return int(numba.get_num_threads())

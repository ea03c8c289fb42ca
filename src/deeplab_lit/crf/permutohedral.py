"""Mean-field inference of the dense CRF on two permutohedral lattices (V2, section 3.3), compiled for this processor.

The work is bound by memory, so lattice values and marginals are stored in half precision where the processor converts
it, label counts are fixed when a kernel is compiled, and each step of the inference passes over its data once: the
slices of both filters, the unaries, the softmax and the new marginals are one pass over the pixels.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange

from deeplab_lit.crf import lattice as lattices
from deeplab_lit.crf.compiled import kernel
from deeplab_lit.crf.dense import Bytes, Floats, Parameters
from deeplab_lit.crf.half import in_hardware
from deeplab_lit.crf.lattice import Lattice
from deeplab_lit.crf.rows import blur_row, softmax_row, splat_row, update_row

_LINE = 64  # bytes of a cache line
_BLOCKS = 64  # pieces of work that threads share
_LARGEST = 16384.0  # half precision ends at 65504
_LEAST = 1e-5  # probabilities below count as this, as in pydensecrf
_lock = threading.Lock()


@dataclass(frozen=True)
class Filter:
    """A lattice with its normalisation worked into its weights.

    Attributes:
        lattice: where pixels and lattice points meet.
        shares: what each entry of ``lattice.pixels`` puts in, in single precision.
        weights: what each pixel takes out of each of its vertices (N, d + 1), the kernel's weight included.
    """

    lattice: Lattice
    shares: Floats
    weights: Floats


def refine(crf: Parameters, image: Bytes, probabilities: Floats) -> Floats:
    """Marginals (C, H, W) of an image, as :class:`deeplab_lit.crf.DenseCRF` describes them."""
    classes, height, width = probabilities.shape
    if crf.iterations == 0:
        return probabilities / probabilities.sum(0)
    parallel = crf.threads is None
    # numba's threads answer one caller at a time; whoever comes meanwhile computes alone
    with _one_caller(parallel) as parallel:
        smooth = _smoothness(height, width, crf.gaussian_xy_std, crf.gaussian_weight, crf.normalization)
        features = np.empty((height * width, 5), np.float32)
        features[:, :2] = _positions(height, width) / np.float32(crf.bilateral_xy_std)
        features[:, 2:] = image.reshape(-1, 3) / np.float32(crf.bilateral_rgb_std)
        appearance = build_filter(features, crf.bilateral_weight, crf.normalization, parallel)
        unary = log_probabilities(probabilities)
        result = infer(unary, classes, (appearance, smooth), crf.iterations, parallel)
    return result.reshape(classes, height, width)


@contextmanager
def _one_caller(wanted: bool) -> Iterator[bool]:
    got = wanted and _lock.acquire(blocking=False)
    try:
        yield got
    finally:
        if got:
            _lock.release()


def _positions(height: int, width: int) -> Floats:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _smoothness(height: int, width: int, std: float, weight: float, normalization: str) -> Filter:
    """The Gaussian kernel, which depends on the size of the image alone."""
    return build_filter(_positions(height, width) / np.float32(std), weight, normalization, parallel=False)


def build_filter(features: Floats, weight: float, normalization: str, parallel: bool = True) -> Filter:
    """A Gaussian filter of some pixels' features, as one of the CRF's kernels.

    Args:
        features: (N, d), in units of the Gaussian's deviation.
        weight: of the kernel.
        normalization: see :class:`deeplab_lit.crf.DenseCRF`.
        parallel: use several threads.
    """
    built = lattices.build(features, parallel)
    shares, weights = built.shares, built.weights * np.float32(built.gain)
    arrays = (built.neighbours, built.vertices)
    sums, largest = lattices.filter_ones(built.starts, built.pixels, shares, *arrays, weights)
    norm = {
        "symmetric": 1 / np.sqrt(sums + np.float32(1e-20)),
        "before": 1 / (sums + np.float32(1e-20)),
        "after": 1 / (sums + np.float32(1e-20)),
        "none": np.ones_like(sums),
    }[normalization].astype(np.float32)
    if normalization in ("symmetric", "before"):
        shares = shares * norm[built.pixels]
        _, largest = lattices.filter_ones(built.starts, built.pixels, shares, *arrays, weights)
    if normalization in ("symmetric", "after"):
        weights = weights * norm[:, None]
    # marginals are at most 1, so nothing on the lattice is larger than what ones leave there
    fit = np.float32(_LARGEST / max(float(largest), 1e-30))
    return Filter(built, shares * fit, weights * np.float32(weight / fit))


def infer(
    unary: Floats,
    classes: int,
    filters: tuple[Filter, Filter],
    iterations: int,
    parallel: bool = True,
    half: bool | None = None,
) -> Floats:
    """Mean-field marginals.

    Args:
        unary: log-probabilities (N, L); L a multiple of 8, labels that pad it have very small ones.
        classes: the labels that are not padding, C.
        filters: the pairwise kernels.
        iterations: of the mean field, at least one.
        parallel: use several threads.
        half: store values in half precision; None: where the processor converts it.

    Returns:
        Marginals (C, N).
    """
    half = in_hardware() if half is None else half
    count, labels = unary.shape
    lanes = (0,) * labels
    dtype = np.uint16 if half else np.float32
    result = np.empty((classes, count), np.float32)
    # two buffers for each filter, with a row of zeros for neighbours that do not exist
    sizes = [count, *(each.lattice.points + 1 for each in filters for _ in range(2))]
    marginals, *four = _scratch.rows(sizes, labels, dtype)
    buffers = [four[:2], four[2:]]
    for buffer in four:
        buffer[-1] = 0
    _first[parallel](unary, marginals, lanes)
    for iteration in range(iterations):
        sources: list[Any] = []
        for each, (one, two) in zip(filters, buffers, strict=True):
            built = each.lattice
            _splat[parallel](built.starts, built.pixels, each.shares, marginals, one, lanes)
            for direction in range(built.neighbours.shape[0]):
                _blur[parallel](one, two, built.neighbours[direction], lanes)
                one, two = two, one
            sources += [built.vertices, each.weights, one]
        if iteration < iterations - 1:
            _update[parallel](unary, *sources, marginals, lanes)
        else:
            _finish[parallel](unary, *sources, result, lanes)
    return result


@kernel
def _first(unary, marginals, lanes):  # type: ignore[no-untyped-def]
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            softmax_row(unary, n, marginals, n, lanes)


@kernel
def _splat(starts, pixels, shares, marginals, values, lanes):  # type: ignore[no-untyped-def]
    points = len(starts) - 1
    for block in prange(_BLOCKS):
        for p in range(block * points // _BLOCKS, (block + 1) * points // _BLOCKS):
            splat_row(marginals, pixels, shares, starts[p], starts[p + 1], values, p, lanes)


@kernel
def _blur(old, new, neighbours, lanes):  # type: ignore[no-untyped-def]
    points = len(neighbours)
    for block in prange(_BLOCKS):
        for p in range(block * points // _BLOCKS, (block + 1) * points // _BLOCKS):
            blur_row(old, new, p, neighbours[p, 0], neighbours[p, 1], lanes)


@kernel
def _update(unary, vertices, weights, values, more_vertices, more_weights, more_values, marginals, lanes):  # type: ignore[no-untyped-def]
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            update_row(
                unary, n, vertices, weights, values, more_vertices, more_weights, more_values, marginals, n, lanes
            )


@kernel
def _finish(unary, vertices, weights, values, more_vertices, more_weights, more_values, result, lanes):  # type: ignore[no-untyped-def]
    count = unary.shape[0]
    for block in prange(_BLOCKS):
        row = np.empty((1, len(lanes)), np.float32)
        for n in range(block * count // _BLOCKS, (block + 1) * count // _BLOCKS):
            update_row(unary, n, vertices, weights, values, more_vertices, more_weights, more_values, row, 0, lanes)
            for c in range(result.shape[0]):
                result[c, n] = row[0, c]


def padded(labels: int) -> int:
    """The label count that kernels are compiled for: 8, 16, or a multiple of 32, a cache line in half precision."""
    return 8 if labels <= 8 else 16 if labels <= 16 else -(-labels // 32) * 32


class _Scratch(threading.local):
    """Memory that a thread keeps from one image to the next: fresh pages cost as much as two iterations."""

    room: Any = np.empty(0, np.uint8)

    def rows(self, counts: Sequence[int], labels: int, dtype: Any) -> list[Any]:
        """Arrays (count, labels) with anything in them.

        Each begins with a cache line: rows are met in any order, each in as few lines as can be.
        """
        width = labels * np.dtype(dtype).itemsize
        lines = [-(-count * width // _LINE) * _LINE for count in counts]
        if len(self.room) < sum(lines) + _LINE:
            self.room = np.empty(sum(lines) + _LINE, np.uint8)
        start, found = -self.room.ctypes.data % _LINE, []
        for count, room in zip(counts, lines, strict=True):
            found.append(self.room[start : start + count * width].view(dtype).reshape(count, labels))
            start += room
        return found


_scratch = _Scratch()


def log_probabilities(probabilities: Floats) -> Floats:
    """(C, H, W) probabilities -> (N, L) log-probabilities, padded with labels that never win."""
    classes = probabilities.shape[0]
    unary = np.full((probabilities[0].size, padded(classes)), -1e4, np.float32)
    flat = probabilities.reshape(classes, -1)
    np.log(np.maximum(flat.T, np.float32(_LEAST)), out=unary[:, :classes])
    return unary

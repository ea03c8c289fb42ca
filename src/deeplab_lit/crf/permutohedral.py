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

from deeplab_lit.crf import lattice as lattices
from deeplab_lit.crf import meanfield
from deeplab_lit.crf.dense import Bytes, Floats, Parameters
from deeplab_lit.crf.half import stores_half
from deeplab_lit.crf.lattice import Lattice

_LINE = 64  # bytes of a cache line
_LARGEST = 16384.0  # half precision ends at 65504
_LEAST = np.float32(1e-5).view(np.int32)  # bits of what lower probabilities count as, as in pydensecrf
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
    return _run(crf, image, probabilities, labels=False)


def decide(crf: Parameters, image: Bytes, probabilities: Floats) -> Bytes:
    """The most probable class (H, W) of each pixel; marginals that nobody asks for are not written."""
    return _run(crf, image, probabilities, labels=True)


def _run(crf: Parameters, image: Bytes, probabilities: Floats, labels: bool) -> Any:
    classes, height, width = probabilities.shape
    if crf.iterations == 0:
        return probabilities.argmax(0).astype(np.uint8) if labels else probabilities / probabilities.sum(0)
    # numba's threads answer one caller at a time; whoever comes meanwhile computes alone
    with _one_caller(crf.threads is None) as parallel:
        smooth = _smoothness(height, width, crf.gaussian_xy_std, crf.gaussian_weight, crf.normalization)
        features = np.empty((height * width, 5), np.float32)
        features[:, :2] = _positions(height, width) / np.float32(crf.bilateral_xy_std)
        features[:, 2:] = image.reshape(-1, 3) / np.float32(crf.bilateral_rgb_std)
        appearance = build_filter(features, crf.bilateral_weight, crf.normalization, parallel)
        flat = probabilities.reshape(classes, -1)
        result = infer(flat, (appearance, smooth), crf.iterations, labels, parallel)
    return result.reshape(height, width) if labels else result.reshape(classes, height, width)


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
    probabilities: Floats,
    filters: tuple[Filter, Filter],
    iterations: int,
    labels: bool = False,
    parallel: bool = True,
    half: bool | None = None,
) -> Any:
    """The mean field.

    Args:
        probabilities: of the classes (C, N).
        filters: the pairwise kernels.
        iterations: at least one.
        labels: give the most probable class of each pixel.
        parallel: use several threads.
        half: store values in half precision; None: where the processor converts it.

    Returns:
        Marginals, float32 (C, N), or labels, uint8 (N,).
    """
    half = stores_half() if half is None else half
    probabilities = np.ascontiguousarray(probabilities)
    classes, count = probabilities.shape
    lanes = (0,) * padded(classes)
    dtype: Any = np.uint16 if half else np.float32
    # two buffers for each filter, with a row of zeros for neighbours that do not exist
    rooms = [(count, np.float32), (count, dtype)]
    rooms += [(each.lattice.points + 1, dtype) for each in filters for _ in range(2)]
    unary, marginals, *four = _scratch.rows(rooms, len(lanes))
    for buffer in four:
        buffer[-1] = 0
    meanfield.begin[parallel](probabilities, probabilities.view(np.int32), _LEAST, unary, marginals, lanes)
    for iteration in range(iterations):
        sources: list[Any] = []
        for each, (one, two) in zip(filters, (four[:2], four[2:]), strict=True):
            built = each.lattice
            parts = max(1, min(lattices.threads() if parallel else 1, built.points // (2 * built.lags[-1] + 1)))
            meanfield.splat_and_blur[parallel](
                built.starts, built.pixels, each.shares, built.neighbours, built.lags, parts, marginals, one, two, lanes
            )
            if len(built.neighbours) % 2:
                one, two = two, one
            sources += [built.vertices, each.weights, one, (0,) * built.vertices.shape[1]]
        if iteration < iterations - 1:
            meanfield.update[parallel](unary, *sources, marginals, lanes)
    if labels:
        result: Any = np.empty(count, np.uint8)
        meanfield.decide[parallel](unary, *sources, classes, result, lanes)
    else:
        result = np.empty((classes, count), np.float32)
        meanfield.finish[parallel](unary, *sources, result, lanes)
    return result


def padded(labels: int) -> int:
    """The label count that kernels are compiled for: 8, 16, or a multiple of 32, a cache line in half precision."""
    return 8 if labels <= 8 else 16 if labels <= 16 else -(-labels // 32) * 32


class _Scratch(threading.local):
    """Memory that a thread keeps from one image to the next: fresh pages cost as much as two iterations."""

    room: Any = np.empty(0, np.uint8)

    def rows(self, wanted: Sequence[tuple[int, Any]], labels: int) -> list[Any]:
        """Arrays (count, labels) of a type with anything in them, for each (count, type).

        Each begins with a cache line: rows are met in any order, each in as few lines as can be.
        """
        sizes = [count * labels * np.dtype(dtype).itemsize for count, dtype in wanted]
        lines = [-(-size // _LINE) * _LINE for size in sizes]
        if len(self.room) < sum(lines) + _LINE:
            self.room = np.empty(sum(lines) + _LINE, np.uint8)
        start, found = -self.room.ctypes.data % _LINE, []
        for (count, dtype), size, room in zip(wanted, sizes, lines, strict=True):
            found.append(self.room[start : start + size].view(dtype).reshape(count, labels))
            start += room
        return found


_scratch = _Scratch()

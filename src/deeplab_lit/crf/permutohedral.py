"""The engine ``permutohedral``: compiled mean-field inference on two permutohedral lattices (V2, section 3.3).

Memory bandwidth limits the inference. Lattice values and marginals are therefore stored in half precision where the
processor converts it. The number of labels is a constant of each compiled kernel. Each step passes over its data once:
the slices of both filters, the unaries, the softmax and the new marginals are one pass over the pixels.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.crf import lattice as lattices
from deeplab_lit.crf import meanfield
from deeplab_lit.crf.features import appearance, positions
from deeplab_lit.crf.lattice import Lattice
from deeplab_lit.crf.parameters import Parameters, Width
from deeplab_lit.kernels.buffers import Allocate, new_array, reused_array
from deeplab_lit.kernels.half_precision import stores_half
from deeplab_lit.kernels.jit import threads
from deeplab_lit.utils.arrays import Bytes, Floats

_LARGEST = 16384.0  # half precision is finite up to 65504
_LEAST = np.float32(1e-5).view(np.int32)  # bits of the lower bound of probabilities, as in pydensecrf
_LONGEST = 100  # the longest tuple that numba passes to a parallel loop
_lock = threading.Lock()


def refine(crf: Parameters, image: Bytes | Floats, probabilities: Floats, more: Floats | None) -> Floats:
    """The marginals (C, H, W) of an image; see :class:`deeplab_lit.crf.DenseCRF`."""
    return _run(crf, image, probabilities, more, labels=False)


def decide(
    crf: Parameters, image: Bytes | Floats, probabilities: Floats, more: Floats | None
) -> NDArray[np.unsignedinteger[Any]]:
    """The most probable class (H, W) of each pixel, without writing the marginals."""
    return _run(crf, image, probabilities, more, labels=True)


def _run(crf: Parameters, image: Bytes | Floats, probabilities: Floats, more: Floats | None, labels: bool) -> Any:
    classes, height, width = probabilities.shape
    if crf.iterations == 0:
        most_probable = probabilities.argmax(0).astype(np.min_scalar_type(classes - 1))
        return most_probable if labels else probabilities / probabilities.sum(0)
    with one_caller(crf.threads is None) as parallel:
        smooth = _smoothness(height, width, crf.gaussian_xy_std, crf.gaussian_weight, crf.normalization)
        features = appearance(crf, image, more, reused_array)
        near = build_filter(features, crf.bilateral_weight, crf.normalization, parallel, reused_array)
        flat = probabilities.reshape(classes, -1)
        result = infer(flat, (near, smooth), crf.iterations, labels, parallel)
    return result.reshape(height, width) if labels else result.reshape(classes, height, width)


@contextmanager
def one_caller(wanted: bool) -> Iterator[bool]:
    """Whether the caller may use several threads, if ``wanted``: numba's threads serve one caller at a time."""
    got = wanted and _lock.acquire(blocking=False)
    try:
        yield got
    finally:
        if got:
            _lock.release()


@functools.lru_cache(maxsize=8)
def _smoothness(height: int, width: int, std: Width, weight: float, normalization: str) -> Lattice:
    """The Gaussian kernel, which depends only on the size of the image."""
    features = positions(height, width)
    features /= np.asarray(std, np.float32)
    return build_filter(features, weight, normalization, parallel=False)


def build_filter(
    features: Floats, weight: float, normalization: str, parallel: bool = True, allocate: Allocate = new_array
) -> Lattice:
    """One of the CRF's kernels: a lattice with the kernel's weight and normalisation, ready for the mean field.

    Args:
        features: (N, d), in units of the Gaussian's deviation.
        weight: the weight of the kernel.
        normalization: see :class:`deeplab_lit.crf.DenseCRF`.
        parallel: use several threads.
        allocate: allocates the arrays.
    """
    built = lattices.build(features, parallel, allocate)
    arrays = (built.neighbours, built.vertices, built.weights)
    sums, largest = lattices.filter_ones[parallel](built.starts, built.pixels, built.shares, *arrays)
    sums = sums * np.float32(built.gain) + np.float32(1e-20)
    norm = 1 / np.sqrt(sums) if normalization == "symmetric" else 1 / sums
    if normalization in ("symmetric", "before"):
        built.shares[:] *= norm[built.pixels]
        _, largest = lattices.filter_ones[parallel](built.starts, built.pixels, built.shares, *arrays)
    # marginals are at most 1, so the sums of ones bound every value on the lattice
    fit = _LARGEST / max(float(largest), 1e-30)
    built.shares[:] *= np.float32(fit)
    after = norm if normalization in ("symmetric", "after") else np.ones_like(norm)
    meanfield.into_rings[parallel](built.neighbours, built.reaches)
    built.weights[:] *= (after * np.float32(built.gain * weight / fit))[:, None]
    return built


def infer(
    start: Floats,
    filters: Sequence[Lattice],
    iterations: int,
    labels: bool = False,
    parallel: bool = True,
    half: bool | None = None,
    energies: bool = False,
) -> Any:
    """Infer marginals or labels by the mean field.

    Args:
        start: the probabilities of the classes (C, N), or their energies.
        filters: the pairwise kernels, any number of them; with none the marginals are the softmax of the start.
        iterations: at least 0.
        labels: return the most probable class of each pixel.
        parallel: use several threads.
        half: store values in half precision; None: if the processor converts it.
        energies: ``start`` holds energies, finite numbers of any size; probabilities are bounded below by 1e-5.

    Returns:
        Marginals, float32 (C, N), or labels (N,), uint8 for up to 256 classes.
    """
    half = stores_half() if half is None else half
    start = np.ascontiguousarray(start)
    classes, count = start.shape
    width = padded(classes)
    lanes = (0,) * (width // 8)
    parallel = parallel and len(lanes) <= _LONGEST
    dtype: Any = np.uint16 if half else np.float32
    unary = reused_array("unary", (count, width), np.float32)
    marginals = reused_array("marginals", (count, width), dtype)
    nothing = (np.empty((count, 0), np.int32), np.empty((count, 0), np.float32), np.empty((0, width), dtype), ())
    if energies:
        meanfield.begin_with_energies[parallel](start, unary, lanes)
        meanfield.update[parallel](unary, *nothing, *nothing, marginals, lanes)
    else:
        meanfield.begin[parallel](start, start.view(np.int32), _LEAST, unary, marginals, lanes)
    slices: list[Any] = []
    for i, each in enumerate(filters):
        values = reused_array(f"values {i}", (each.points, width), dtype)
        slices.append((each.vertices, each.weights, values, (0,) * each.vertices.shape[1]))
    scores, (first, second) = unary, ([nothing, nothing, *slices] if iterations else [nothing, nothing])[-2:]
    for iteration in range(iterations):
        for each, (*_, values, _corners) in zip(filters, slices, strict=True):
            _filter(each, marginals, values, lanes, parallel)
        for more in slices[:-2]:
            sums = reused_array("scores", unary.shape, np.float32)
            meanfield.add_slice[parallel](unary if more is slices[0] else sums, *more, sums, lanes)
            scores = sums
        if iteration < iterations - 1:
            meanfield.update[parallel](scores, *first, *second, marginals, lanes)
    if labels:
        result: Any = np.empty(count, np.min_scalar_type(classes - 1))
        meanfield.decide[parallel](scores, *first, *second, result, classes, lanes)
    else:
        result = np.empty((classes, count), np.float32)
        meanfield.finish[parallel](scores, *first, *second, result, lanes)
    return result


def messages(marginals: Floats, filters: Sequence[Lattice], parallel: bool = True) -> Floats:
    """The sum of all filters' messages, float32 (C, N), to marginals (C, N): what one iteration adds to the scores."""
    classes, count = marginals.shape
    width = padded(classes)
    lanes = (0,) * (width // 8)
    parallel = parallel and len(lanes) <= _LONGEST
    rows = reused_array("marginals", (count, width), np.float32)
    rows[:, :classes], rows[:, classes:] = marginals.T, 0
    scores = np.zeros((count, width), np.float32)
    for each in filters:
        values = reused_array("values 0", (each.points, width), np.float32)
        _filter(each, rows, values, lanes, parallel)
        corners = (0,) * each.vertices.shape[1]
        meanfield.add_slice[parallel](scores, each.vertices, each.weights, values, corners, scores, lanes)
    return np.ascontiguousarray(scores[:, :classes].T)


def _filter(lattice: Lattice, marginals: Any, values: Any, lanes: tuple[int, ...], parallel: bool) -> None:
    """Splat the marginals (N, L), blur them, and mix the labels, into the values (M, L) of the lattice points."""
    # a part is longer than the rows that it computes beyond its ends
    most = lattice.points // (2 * int(lattice.reaches.sum()) + 1)
    parts = max(1, min(threads() if parallel else 1, most))
    rings = reused_array("rings", (parts, meanfield.ring_rows(lattice.reaches), values.shape[1]), values.dtype)
    of_points = (lattice.starts, lattice.pixels, lattice.shares, lattice.neighbours, lattice.reaches)
    meanfield.splat_and_blur[parallel](*of_points, rings, marginals, values, lanes)
    if lattice.mixing is not None:
        meanfield.mix_labels[parallel](values, lattice.mixing, lanes)


def padded(labels: int) -> int:
    """The number of labels with padding: 8, 16, or a multiple of 32, a cache line in half precision."""
    return 8 if labels <= 8 else 16 if labels <= 16 else -(-labels // 32) * 32

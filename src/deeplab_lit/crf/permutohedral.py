"""The engine ``permutohedral``: compiled mean-field inference on two permutohedral lattices (V2, section 3.3).

Memory bandwidth limits the inference. Lattice values and marginals are therefore stored in half precision where the
processor converts it. The number of labels is a constant of each compiled kernel. Each step passes over its data once:
the slices of both filters, the unaries, the softmax and the new marginals are one pass over the pixels.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.crf import lattice as lattices
from deeplab_lit.crf import meanfield
from deeplab_lit.crf.lattice import Lattice
from deeplab_lit.crf.parameters import Parameters
from deeplab_lit.kernels.buffers import Allocate, new_array, reused_array
from deeplab_lit.kernels.half_precision import stores_half
from deeplab_lit.kernels.jit import threads
from deeplab_lit.utils.arrays import Bytes, Floats

_LARGEST = 16384.0  # half precision is finite up to 65504
_LEAST = np.float32(1e-5).view(np.int32)  # bits of the lower bound of probabilities, as in pydensecrf
_lock = threading.Lock()


def refine(crf: Parameters, image: Bytes, probabilities: Floats) -> Floats:
    """The marginals (C, H, W) of an image; see :class:`deeplab_lit.crf.DenseCRF`."""
    return _run(crf, image, probabilities, labels=False)


def decide(crf: Parameters, image: Bytes, probabilities: Floats) -> NDArray[np.unsignedinteger[Any]]:
    """The most probable class (H, W) of each pixel, without writing the marginals."""
    return _run(crf, image, probabilities, labels=True)


def _run(crf: Parameters, image: Bytes, probabilities: Floats, labels: bool) -> Any:
    classes, height, width = probabilities.shape
    if crf.iterations == 0:
        most_probable = probabilities.argmax(0).astype(np.min_scalar_type(classes - 1))
        return most_probable if labels else probabilities / probabilities.sum(0)
    # numba's threads serve one caller at a time; other callers meanwhile use one thread
    with _one_caller(crf.threads is None) as parallel:
        smooth = _smoothness(height, width, crf.gaussian_xy_std, crf.gaussian_weight, crf.normalization)
        features = reused_array("features", (height * width, 5), np.float32)
        features[:, :2] = _positions(height, width) / np.float32(crf.bilateral_xy_std)
        features[:, 2:] = image.reshape(-1, 3) / np.float32(crf.bilateral_rgb_std)
        appearance = build_filter(features, crf.bilateral_weight, crf.normalization, parallel, reused_array)
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


@functools.lru_cache(maxsize=8)
def _smoothness(height: int, width: int, std: float, weight: float, normalization: str) -> Lattice:
    """The Gaussian kernel, which depends only on the size of the image."""
    return build_filter(_positions(height, width) / np.float32(std), weight, normalization, parallel=False)


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
    probabilities: Floats,
    filters: tuple[Lattice, Lattice],
    iterations: int,
    labels: bool = False,
    parallel: bool = True,
    half: bool | None = None,
) -> Any:
    """Infer marginals or labels by the mean field.

    Args:
        probabilities: the probabilities of the classes (C, N).
        filters: the pairwise kernels.
        iterations: at least one.
        labels: return the most probable class of each pixel.
        parallel: use several threads.
        half: store values in half precision; None: if the processor converts it.

    Returns:
        Marginals, float32 (C, N), or labels (N,), uint8 for up to 256 classes.
    """
    half = stores_half() if half is None else half
    probabilities = np.ascontiguousarray(probabilities)
    classes, count = probabilities.shape
    lanes = (0,) * padded(classes)
    dtype: Any = np.uint16 if half else np.float32
    unary = reused_array("unary", (count, len(lanes)), np.float32)
    marginals = reused_array("marginals", (count, len(lanes)), dtype)
    sources: list[Any] = []
    for i, each in enumerate(filters):
        values = reused_array(f"values {i}", (each.points, len(lanes)), dtype)
        sources += [each.vertices, each.weights, values, (0,) * each.vertices.shape[1]]
    # a part is longer than the rows that it computes beyond its ends
    most = [each.points // (2 * int(each.reaches.sum()) + 1) for each in filters]
    parts = [max(1, min(threads() if parallel else 1, each)) for each in most]
    meanfield.begin[parallel](probabilities, probabilities.view(np.int32), _LEAST, unary, marginals, lanes)
    for iteration in range(iterations):
        for each, values, pieces in zip(filters, sources[2::4], parts, strict=True):
            rings = reused_array("rings", (pieces, meanfield.ring_rows(each.reaches), len(lanes)), dtype)
            meanfield.splat_and_blur[parallel](
                each.starts, each.pixels, each.shares, each.neighbours, each.reaches, rings, marginals, values, lanes
            )
        if iteration < iterations - 1:
            meanfield.update[parallel](unary, *sources, marginals, lanes)
    if labels:
        result: Any = np.empty(count, np.min_scalar_type(classes - 1))
        meanfield.decide[parallel](unary, *sources, result, classes, lanes)
    else:
        result = np.empty((classes, count), np.float32)
        meanfield.finish[parallel](unary, *sources, result, lanes)
    return result


def padded(labels: int) -> int:
    """The number of labels with padding: 8, 16, or a multiple of 32, a cache line in half precision."""
    return 8 if labels <= 8 else 16 if labels <= 16 else -(-labels // 32) * 32

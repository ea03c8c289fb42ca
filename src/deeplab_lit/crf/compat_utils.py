"""Energies and features for a dense CRF, as the functions of ``pydensecrf.utils`` make them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError


def unary_from_softmax(sm: ArrayLike, scale: float | None = None, clip: float | None = 1e-5) -> Floats:
    """Unary energies (labels, variables), the negative logarithms of probabilities.

    Args:
        sm: the probabilities (labels, ...); all later dimensions are flattened.
        scale: how much the probabilities count, in (0, 1]; the rest is the uniform distribution. None: 1.
        clip: the lower bound of probabilities; None: none.

    Raises:
        UserError: ``scale`` is out of range.
    """
    p = np.asarray(sm)
    if scale is not None:
        if not 0 < scale <= 1:
            raise UserError(f"scale={scale}: it is above 0 and at most 1.")
        p = scale * p + (1 - scale) * np.full(p.shape, 1 / len(p))  # in double precision, as pydensecrf computes it
    if clip is not None:
        p = np.clip(p, clip, 1)
    with np.errstate(divide="ignore"):  # a probability of 0 is an infinite energy
        return np.ascontiguousarray(-np.log(p).reshape(len(p), -1), np.float32)


def unary_from_labels(labels: ArrayLike, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> Floats:
    """Unary energies (labels, variables) of a map of labels, which are right with a probability of ``gt_prob``.

    Args:
        labels: whole numbers of any shape.
        n_labels: the number of labels, without 0 if ``zero_unsure``.
        gt_prob: in (0, 1).
        zero_unsure: 0 stands for pixels whose labels are equally probable; the labels are 1 to ``n_labels``.

    Raises:
        UserError: ``gt_prob`` is out of range, or a label is, or labels are no whole numbers.
    """
    if not 0 < gt_prob < 1:
        raise UserError(f"gt_prob={gt_prob}: it is between 0 and 1.")
    given = np.asarray(labels)
    if given.dtype.kind not in "biu":
        raise UserError(f"the labels are {given.dtype}: give whole numbers.")
    flat = given.ravel().astype(np.int64) - (1 if zero_unsure else 0)  # of unsigned numbers 0 - 1 would be 255
    lowest = -1 if zero_unsure else 0
    if len(flat) and not lowest <= flat.min() <= flat.max() < n_labels:
        first, last = (0, n_labels) if zero_unsure else (0, n_labels - 1)
        raise UserError(
            f"the labels run from {given.min()} to {given.max()}: with n_labels={n_labels}, {first} to {last}."
        )
    others = (1 - gt_prob) / max(n_labels - 1, 1)
    probabilities = np.full((n_labels, len(flat)), others, np.float64)
    sure = np.flatnonzero(flat >= 0)
    probabilities[flat[sure], sure] = gt_prob
    if zero_unsure:
        probabilities[:, flat < 0] = 1 / n_labels
    return np.ascontiguousarray(-np.log(probabilities), np.float32)


def compute_unary(labels: ArrayLike, M: int, GT_PROB: float = 0.5) -> Floats:
    """The old name of :func:`unary_from_labels`."""
    warnings.warn("compute_unary is the old name of unary_from_labels.", DeprecationWarning, stacklevel=2)
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: ArrayLike, GT_PROB: float = 1) -> Floats:
    """The old name of :func:`unary_from_softmax`, with ``GT_PROB`` as its scale and without a clip."""
    warnings.warn("softmax_to_unary is the old name of unary_from_softmax.", DeprecationWarning, stacklevel=2)
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: float | Sequence[float], shape: Sequence[int]) -> Floats:
    """Features (dimensions, variables): the position along each dimension over its deviation.

    Args:
        sdims: the deviation along each dimension, or one for all.
        shape: the size along each dimension.

    Raises:
        UserError: there are more or fewer deviations than dimensions.
    """
    if np.ndim(sdims) and np.size(sdims) != len(shape):
        raise UserError(f"sdims={sdims}: {np.size(sdims)} deviations for {len(shape)} dimensions: give one for each.")
    return _positions(sdims, shape)


def create_pairwise_bilateral(
    sdims: float | Sequence[float], schan: float | Sequence[float], img: ArrayLike, chdim: int = -1
) -> Floats:
    """Features (dimensions + channels, variables): positions and the values of an image, over their deviations.

    Args:
        sdims: the deviation along each dimension, or a number for all. Where it lists fewer, the others have 1.
        schan: the deviation of each channel, in the same way.
        img: of any number of dimensions.
        chdim: the dimension of its channels; -1: it has none, and is one channel.

    Raises:
        UserError: there are more deviations than dimensions or channels.
    """
    image = np.asarray(img)
    channels = image[None] if chdim == -1 else np.moveaxis(image, chdim, 0)
    deviations = _deviations(schan, len(channels), "channels")
    colours = channels.reshape(len(channels), -1).astype(np.float32) / deviations[:, None]
    return np.concatenate([_positions(sdims, channels.shape[1:]), colours])


def _positions(sdims: float | Sequence[float], shape: Sequence[int]) -> Floats:
    positions: Floats = np.indices(shape, np.float32).reshape(len(shape), -1)
    return positions / _deviations(sdims, len(shape), "dimensions")[:, None]


def _deviations(given: float | Sequence[float], count: int, of: str) -> Floats:
    """The deviation of each of ``count`` features; those behind the given ones have 1, as in ``pydensecrf.utils``."""
    values = np.asarray(given, np.float32)
    if values.ndim == 0:
        return np.full(count, values)
    if len(values) > count:
        raise UserError(f"{given}: {len(values)} deviations for {count} {of}.")
    return np.concatenate([values, np.ones(count - len(values), np.float32)])

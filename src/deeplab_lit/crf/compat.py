"""pydensecrf's interface on this library's engine: only the lines that import pydensecrf change.

``import deeplab_lit.crf.compat as dcrf`` stands for ``import pydensecrf.densecrf as dcrf``, and
``from deeplab_lit.crf.compat import unary_from_softmax`` for the same of ``pydensecrf.utils``. The module offers what
both offer, with their names, arguments and defaults:
``NORMALIZE_SYMMETRIC``, no lower bound of the energies, no pruning of labels. Three differences: any type of number and
any memory layout is accepted; bilateral images have any number of channels; results are arrays.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from multiprocessing import parent_process
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deeplab_lit.crf.compat_utils import (
    compute_unary,
    create_pairwise_bilateral,
    create_pairwise_gaussian,
    softmax_to_unary,
    unary_from_labels,
    unary_from_softmax,
)
from deeplab_lit.crf.lattice import Lattice
from deeplab_lit.crf.permutohedral import build_filter, infer, messages, one_caller
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError

__all__ = [
    "CONST_KERNEL",
    "DIAG_KERNEL",
    "FULL_KERNEL",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "ConstUnary",
    "DenseCRF",
    "DenseCRF2D",
    "KernelType",
    "LogisticUnary",
    "NormalizationType",
    "compute_unary",
    "create_pairwise_bilateral",
    "create_pairwise_gaussian",
    "softmax_to_unary",
    "unary_from_labels",
    "unary_from_softmax",
]


class KernelType(IntEnum):
    """The kinds of kernel parameters. All give the same results, since nothing here trains them."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """The normalisation of a filter by its response to ones; see :class:`deeplab_lit.crf.DenseCRF`."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType
_FEW = 16384  # labels of variables that one thread is through with before others would have started
_IMPOSSIBLE = np.float32(1e30)  # in place of infinity, with which 0 * energy would be NaN
_NAMES = dict(zip(NormalizationType, ("none", "before", "after", "symmetric"), strict=True))


class ConstUnary:
    """Unary energies (labels, variables)."""

    def __init__(self, energies: ArrayLike) -> None:
        self.energies: Floats = np.ascontiguousarray(energies, np.float32)


class LogisticUnary(ConstUnary):
    """Unary energies ``L @ f``, with L (labels, features) and f (features, variables)."""

    def __init__(self, L: ArrayLike, f: ArrayLike) -> None:
        super().__init__(_array(L, "LogisticUnary") @ _array(f, "LogisticUnary"))


class DenseCRF:
    """A fully connected CRF over variables of any kind, solved by the mean field (V2, section 3.3).

    Args:
        nvar: the number of variables, such as pixels.
        nlabels: the number of labels.

    Attributes:
        threads: None: all cores, but one in a child process of multiprocessing or for a few variables; 1: one.
    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        if nvar < 1 or nlabels < 1:
            raise UserError(f"a CRF of {nvar} variables and {nlabels} labels: both are at least 1.")
        self.threads: int | None = None
        self._count, self._labels = int(nvar), int(nlabels)
        self._energies: Floats | None = None
        self._filters: list[Lattice] = []

    def setUnaryEnergy(self, u: ArrayLike) -> None:
        """Set the unary energies (labels, variables): negative log-probabilities, or any other numbers.

        An energy of infinity makes a label impossible, such as one whose probability is 0.

        Raises:
            UserError: they have another shape, hold NaN or minus infinity, or leave a variable no label.
        """
        energies = np.ascontiguousarray(u, np.float32)
        if energies.shape != (self._labels, self._count):
            raise UserError(
                f"the unary energy is {energies.shape}: give ({self._labels}, {self._count}), labels by variables."
            )
        if not (energies > -np.inf).all():
            raise UserError("the unary energy holds NaN or minus infinity.")
        if not (energies < np.inf).any(0).all():
            raise UserError("the unary energy of a variable is infinite for all labels: no label is possible there.")
        self._energies = np.minimum(energies, _IMPOSSIBLE)

    def setUnary(self, u: ConstUnary) -> None:
        """Set the unary energies from a :class:`ConstUnary` or :class:`LogisticUnary`."""
        self.setUnaryEnergy(u.energies)

    def addPairwiseEnergy(
        self,
        features: ArrayLike,
        compat: Any,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian pairwise term.

        Args:
            features: (d, variables), in units of the Gaussian's deviation.
            compat: a weight w, whose energies are the matrix -w * I; a vector, whose energies are its diagonal matrix;
                or a matrix of energies (labels, labels), of which the symmetric part counts.
            kernel: a :class:`KernelType`.
            normalization: a :class:`NormalizationType`.

        Raises:
            UserError: a shape does not fit, a value is not finite, or the deviations are too small.
        """
        points = _array(features, "pairwise energy")
        if points.ndim != 2 or points.shape[1] != self._count or len(points) == 0:
            raise UserError(f"the features are {points.shape}: give (dimensions, {self._count}).")
        try:
            KernelType(kernel)
            name = _NAMES[NormalizationType(normalization)]
        except ValueError as error:
            raise UserError(f"{error}: take one of this module's constants.") from error
        weight, mixing = _compatibility(compat, self._labels)
        with one_caller(self._parallel) as parallel:
            found = build_filter(np.ascontiguousarray(points.T), weight, name, parallel)
        self._filters.append(replace(found, mixing=mixing))

    def inference(self, n_iterations: int) -> Floats:
        """The marginals, float32 (labels, variables), after a number of iterations.

        Raises:
            UserError: no unary energies were set.
        """
        energies = self._unary()
        with one_caller(self._parallel) as parallel:
            found: Floats = infer(energies, self._filters, n_iterations, False, parallel, False, energies=True)
        return found

    def startInference(self) -> tuple[Floats, Floats, Floats]:
        """The marginals of the unary energies alone, and two arrays that :meth:`stepInference` wants."""
        found = self.inference(0)
        return found, np.zeros_like(found), np.zeros_like(found)

    def stepInference(self, Q: Floats, tmp1: Floats, tmp2: Floats) -> None:
        """One iteration, in place of the marginals ``Q`` (labels, variables); ``tmp1`` becomes their scores."""
        np.subtract(self._messages(Q), self._unary(), out=tmp1)
        np.exp(tmp1 - tmp1.max(0), out=Q)
        Q /= Q.sum(0)

    def klDivergence(self, Q: ArrayLike) -> float:
        """The divergence of the marginals (labels, variables) from the CRF's distribution, but for a constant."""
        q = _array(Q, "klDivergence")
        scores = np.log(np.maximum(q, 1e-20)) + self._unary() - self._messages(q)
        return float((q.astype(np.float64) * scores).sum())

    def _unary(self) -> Floats:
        if self._energies is None:
            raise UserError("the CRF has no unary energies: call setUnaryEnergy first.")
        return self._energies

    def _messages(self, marginals: Floats) -> Floats:
        with one_caller(self._parallel) as parallel:
            return messages(marginals, self._filters, parallel)

    @property
    def _parallel(self) -> bool:
        return self.threads is None and parent_process() is None and self._count * self._labels >= _FEW


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image.

    Args:
        w, h: width and height in pixels.
        nlabels: the number of labels.
    """

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        super().__init__(w * h, nlabels)
        self._size = (int(h), int(w))

    def addPairwiseGaussian(
        self,
        sxy: float | Sequence[float],
        compat: Any,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a term of the positions; ``sxy``: the deviation in pixels, or (x, y). The rest: addPairwiseEnergy."""
        x, y = _widths("sxy", sxy, 2)
        self.addPairwiseEnergy(create_pairwise_gaussian((y, x), self._size)[::-1], compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: float | Sequence[float],
        srgb: float | Sequence[float],
        rgbim: ArrayLike,
        compat: Any,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a term of positions and colours.

        Args:
            sxy: the deviation in pixels, or (x, y).
            srgb: the deviation in the image's units, or one for each channel.
            rgbim: (h, w, channels), of any type; (h, w) is one channel.
            compat, kernel, normalization: see :meth:`addPairwiseEnergy`.
        """
        image = np.asarray(rgbim)
        image = image[..., None] if image.ndim == 2 else image
        if image.ndim != 3 or image.shape[:2] != self._size:
            raise UserError(
                f"the bilateral image is {image.shape}: give ({', '.join(map(str, self._size))}, channels)."
            )
        x, y = _widths("sxy", sxy, 2)
        colours = _widths("srgb", srgb, image.shape[2])
        features = create_pairwise_bilateral((y, x), colours, image, 2)
        features[:2] = features[1::-1].copy()  # x first
        self.addPairwiseEnergy(features, compat, kernel, normalization)


def _array(values: ArrayLike, what: str, hint: str = "") -> Floats:
    found = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(found).all():
        raise UserError(f"{what}: it holds NaN or infinity{hint}.")
    return found


def _widths(name: str, given: float | Sequence[float], count: int) -> list[float]:
    widths = [float(given)] * count if isinstance(given, numbers.Real) else [float(each) for each in given]  # type: ignore[union-attr]
    if len(widths) != count or not all(0 < each < float("inf") for each in widths):
        raise UserError(f"{name}={given}: give one number above 0, or {count} of them.")
    return widths


def _compatibility(compat: Any, labels: int) -> tuple[float, NDArray[np.float32] | None]:
    """The weight of the filter, and the matrix, with rows that sum to at most 1, that mixes the labels."""
    if isinstance(compat, numbers.Real):
        if not np.isfinite(float(compat)):
            raise UserError(f"compat={compat}: it is not finite.")
        return float(compat), None
    matrix = _array(compat, "compat")
    if matrix.shape == (labels,):
        matrix = np.diag(matrix)
    if matrix.shape != (labels, labels):
        raise UserError(f"compat is {matrix.shape}: give a number, ({labels},) or ({labels}, {labels}).")
    scores = -(matrix + matrix.T) / 2
    largest = float(np.abs(scores).sum(1).max()) or 1.0
    return largest, np.ascontiguousarray(scores / np.float32(largest))

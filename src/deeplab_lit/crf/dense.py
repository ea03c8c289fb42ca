"""The dense CRF: one interface to its three engines."""

from __future__ import annotations

import importlib.util
import math
import numbers
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.config.schemas import DenseCRFConfig
from deeplab_lit.crf.checked_inputs import checked_channels, checked_labels, checked_probabilities
from deeplab_lit.crf.features import Seen, colours
from deeplab_lit.crf.hard_labels import probabilities_of
from deeplab_lit.crf.parameters import Normalization, Width
from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.utils.arrays import Floats, Pixels
from deeplab_lit.utils.errors import UserError, closest

if TYPE_CHECKING:
    from torch import Tensor

Engine = Literal["permutohedral", "pydensecrf", "torch"]


class DenseCRF:
    """A fully connected CRF with a bilateral and a Gaussian kernel, solved by the mean field.

    Args:
        bilateral_weight, bilateral_xy_std, bilateral_rgb_std: w1, sigma_alpha (pixels) and sigma_beta (grey levels) of
            the appearance kernel (V2, equation 3). A deviation is one number, or one for each axis (x, y) or colour.
        gaussian_weight, gaussian_xy_std: w2 and sigma_gamma (pixels) of the smoothness kernel.
        iterations: iterations of the mean field; 10 in the papers.
        normalization: the normalisation of each filter by its response to an image of ones: division by its root
            before and after filtering (``"symmetric"``, pydensecrf's default), by the response ``"before"`` or
            ``"after"`` (the papers' code, to which the published weights belong), or ``"none"``.
        engine: ``"permutohedral"`` (this library's), ``"pydensecrf"`` (the reference), or ``"torch"`` (the layer
            for training, slower).
        certainty: None: the unaries are the probabilities. A number between 0 and 1: they are hard labels, the most
            probable classes, which are right with this probability
            (:func:`deeplab_lit.crf.hard_labels.probabilities_of`).
        image: ``"rgb"``, or ``"mean_subtracted_bgr"``, which reproduces code bases that give the CRF their network's
            input (:func:`deeplab_lit.crf.features.seen`).
        channels: the channels of the image that the appearance kernel compares, such as ``[0, 1, 2]``; None: the first
            three, or all if there are fewer.
        prune_threshold: classes whose probability is below it at every pixel of an image are left out and get 0; 0
            keeps all classes.
        threads: None: all cores for one image, or as many threads as PyTorch is set to use. 1: one core, for
            callers that refine several images in threads of their own; the global interpreter lock is released.
        device: of the engine ``"torch"``, as :func:`deeplab_lit.utils.device.own_device` takes it; ``"auto"`` is the
            process's GPU if there is one. In place of Apple's GPUs it takes the CPU.

    Raises:
        UserError: a width or weight that is not one number, a width that is not positive, a negative weight, an
            unknown engine or normalisation.
    """

    def __init__(
        self,
        bilateral_weight: float,
        bilateral_xy_std: Width,
        bilateral_rgb_std: Width,
        gaussian_weight: float,
        gaussian_xy_std: Width,
        iterations: int = DenseCRFConfig.iterations,
        normalization: Normalization = "symmetric",
        engine: str = DenseCRFConfig.engine,
        prune_threshold: float = DenseCRFConfig.prune_threshold,
        threads: int | None = None,
        device: str = "auto",
        certainty: float | None = None,
        image: str = DenseCRFConfig.image,
        channels: Sequence[int] | None = DenseCRFConfig.channels,
    ) -> None:
        for name, value, least in (
            ("bilateral_weight", bilateral_weight, "at least 0"),
            ("gaussian_weight", gaussian_weight, "at least 0"),
            ("iterations", iterations, "at least 0"),
            ("prune_threshold", prune_threshold, "at least 0"),
        ):
            _check_number(name, value, least)
        if iterations != int(iterations):
            raise UserError(f"crf.iterations={iterations}: it is a whole number.")
        for name, word, kind in (
            ("normalization", normalization, Normalization),
            ("engine", engine, Engine),
            ("image", image, Seen),
        ):
            if word not in get_args(kind):
                allowed = get_args(kind)
                raise UserError(f"crf.{name}={word!r}: choose one of {', '.join(allowed)}.{closest(word, allowed)}")
        if certainty is not None and not (isinstance(certainty, numbers.Real) and 0 < certainty < 1):
            raise UserError(f"crf.certainty={certainty}: null, or a number between 0 and 1.")
        if prune_threshold >= 1:
            raise UserError(f"crf.prune_threshold={prune_threshold}: it is from 0 to less than 1.")
        if threads not in (None, 1):
            raise UserError(f"crf.threads={threads}: null for all cores, or 1.")
        self.bilateral_weight = bilateral_weight
        self.bilateral_xy_std = _width("bilateral_xy_std", bilateral_xy_std, 2)
        self.channels = _channels(channels)
        self.bilateral_rgb_std = _width("bilateral_rgb_std", bilateral_rgb_std, len(self.channels or range(3)))
        self.gaussian_weight = gaussian_weight
        self.gaussian_xy_std = _width("gaussian_xy_std", gaussian_xy_std, 2)
        self.certainty = certainty
        self.image: Seen = image  # type: ignore[assignment]
        self.iterations, self.normalization, self.engine = int(iterations), normalization, engine
        self.prune_threshold, self.threads, self.device = prune_threshold, threads, device

    def __repr__(self) -> str:
        return f"DenseCRF({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __call__(
        self,
        image: Pixels,
        probabilities: NDArray[np.number[Any]] | Tensor,
        channels: NDArray[np.number[Any]] | None = None,
    ) -> Floats:
        """The marginals, float32 (C, H, W), after the mean field.

        Args:
            image: the original RGB bytes (H, W, 3), neither normalised nor in another order of colours; or another
                image (H, W, C) of uint8 or uint16, whose 16 bits are divided by 257.
            probabilities: of the classes (C, H, W), an array or a tensor of floating-point numbers, computed with in
                float32; they add up to 1 at each pixel. With a ``certainty`` also labels (H, W), whole numbers with 255
                for void.
            channels: further channels (H, W, K) or (H, W) that the appearance kernel compares beside the colours, such
                as depth or edges, divided by the deviations that they are to have.

        Raises:
            UserError: the sizes differ, or the values are no probabilities.
        """
        probabilities, more = self._checked(image, probabilities), checked_channels(image, channels)
        kept, engine = self._kept(probabilities), _engine(self.engine)
        seen = colours(image, self.channels, self.image)
        if len(kept) == len(probabilities) > 1:
            return engine.refine(self, seen, probabilities, more)
        result = np.zeros_like(probabilities)
        result[kept] = 1 if len(kept) == 1 else engine.refine(self, seen, probabilities[kept], more)
        return result

    def labels(
        self,
        image: Pixels,
        probabilities: NDArray[np.number[Any]] | Tensor,
        channels: NDArray[np.number[Any]] | None = None,
    ) -> NDArray[np.unsignedinteger[Any]]:
        """The most probable class of each pixel (H, W) after the mean field.

        It takes and raises what calling the CRF does. The labels are uint8 for up to 256 classes, uint16 for more.
        """
        probabilities, more = self._checked(image, probabilities), checked_channels(image, channels)
        kind, kept = np.min_scalar_type(len(probabilities) - 1), self._kept(probabilities)
        engine = _engine(self.engine)
        if len(kept) == 1:
            return np.full(image.shape[:2], kept[0], kind)
        seen = colours(image, self.channels, self.image)
        chosen = probabilities if len(kept) == len(probabilities) else probabilities[kept]
        if hasattr(engine, "decide"):
            return kept.astype(kind)[engine.decide(self, seen, chosen, more)]
        return kept.astype(kind)[engine.refine(self, seen, chosen, more).argmax(0)]

    def _checked(self, image: Pixels, given: NDArray[np.number[Any]] | Tensor) -> Floats:
        """The probabilities of the unaries, after a check of both arguments."""
        if self.certainty is None:
            if given.ndim == 2:
                raise UserError(
                    "labels need a certainty: give DenseCRF(..., certainty=0.7), or probabilities (C, H, W)."
                )
            return checked_probabilities(image, given)
        if given.ndim == 2:
            return probabilities_of(checked_labels(image, given), self.certainty)
        probabilities = checked_probabilities(image, given)
        return probabilities_of(probabilities.argmax(0), self.certainty, len(probabilities))

    def _kept(self, probabilities: Floats) -> NDArray[np.intp]:
        highest = probabilities.reshape(len(probabilities), -1).max(1)
        # classes that do not occur among hard labels are left out whatever the threshold
        least = self.prune_threshold if self.certainty is None else np.finfo(np.float32).tiny
        kept = np.flatnonzero(highest >= least)
        # with many classes all may be below the threshold; then only the most probable ones are kept
        return kept if len(kept) else np.array([highest.argmax()])


def _check_number(name: str, value: Any, least: str, more: str = "") -> None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise UserError(f"crf.{name}={value}: it is one number{more}.")
    if value < 0 or (value == 0 and least == "more than 0"):
        raise UserError(f"crf.{name}={value}: it is {least}.")


def _channels(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    right = isinstance(value, (list, tuple)) and all(type(each) is int and each >= 0 for each in value)
    if not right or not value or len(set(value)) < len(value):
        raise UserError(f"crf.channels={value}: null, or different channels of the image from 0, such as [0,1,2].")
    return tuple(value)


def _width(name: str, value: Any, count: int) -> Width:
    if not isinstance(value, (tuple, list)) or len(value) != count:
        _check_number(name, value, "more than 0", f", or {count} of them")
        found: float = value
        return found
    for each in value:
        _check_number(name, each, "more than 0")
    return tuple(value)


def _engine(name: str) -> Any:
    """The module of an engine."""
    if name == "permutohedral" and not has_numba():
        name = "pydensecrf" if importlib.util.find_spec("pydensecrf") else "torch"
        warnings.warn(
            f"crf.engine=permutohedral needs numba, which cannot be imported here: crf.engine={name} does its work, "
            "more slowly.",
            stacklevel=3,
        )
    if name == "permutohedral":
        from deeplab_lit.crf import permutohedral

        return permutohedral
    if name == "pydensecrf":
        from deeplab_lit.crf import pydensecrf

        return pydensecrf
    from deeplab_lit.crf import layer

    return layer

"""The dense CRF: one interface to its three engines."""

from __future__ import annotations

import importlib.util
import math
import numbers
import sys
import warnings
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.config.schemas import DenseCRFConfig
from deeplab_lit.crf.parameters import Normalization
from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.errors import UserError, closest

if TYPE_CHECKING:
    from torch import Tensor

Engine = Literal["permutohedral", "pydensecrf", "torch"]


class DenseCRF:
    """A fully connected CRF with a bilateral and a Gaussian kernel, solved by the mean field.

    Args:
        bilateral_weight, bilateral_xy_std, bilateral_rgb_std: w1, sigma_alpha (pixels) and sigma_beta (grey levels) of
            the appearance kernel (V2, equation 3).
        gaussian_weight, gaussian_xy_std: w2 and sigma_gamma (pixels) of the smoothness kernel.
        iterations: iterations of the mean field; 10 in the papers.
        normalization: the normalisation of each filter by its response to an image of ones: division by its root
            before and after filtering (``"symmetric"``, pydensecrf's default), by the response ``"before"`` or
            ``"after"`` (the papers' code, to which the published weights belong), or ``"none"``.
        engine: ``"permutohedral"`` (this library's), ``"pydensecrf"`` (the reference), or ``"torch"`` (the layer
            for training, slower).
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
        bilateral_xy_std: float,
        bilateral_rgb_std: float,
        gaussian_weight: float,
        gaussian_xy_std: float,
        iterations: int = DenseCRFConfig.iterations,
        normalization: Normalization = "symmetric",
        engine: str = DenseCRFConfig.engine,
        prune_threshold: float = DenseCRFConfig.prune_threshold,
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        for name, value, least in (
            ("bilateral_weight", bilateral_weight, "at least 0"),
            ("bilateral_xy_std", bilateral_xy_std, "more than 0"),
            ("bilateral_rgb_std", bilateral_rgb_std, "more than 0"),
            ("gaussian_weight", gaussian_weight, "at least 0"),
            ("gaussian_xy_std", gaussian_xy_std, "more than 0"),
            ("iterations", iterations, "at least 0"),
            ("prune_threshold", prune_threshold, "at least 0"),
        ):
            _check_number(name, value, least)
        if iterations != int(iterations):
            raise UserError(f"crf.iterations={iterations}: it is a whole number.")
        if normalization not in get_args(Normalization):
            raise UserError(
                f"crf.normalization={normalization!r}: choose one of {', '.join(get_args(Normalization))}."
                f"{closest(normalization, get_args(Normalization))}"
            )
        engines = get_args(Engine)
        if engine not in engines:
            raise UserError(f"crf.engine={engine!r}: choose one of {', '.join(engines)}.{closest(engine, engines)}")
        if prune_threshold >= 1:
            raise UserError(f"crf.prune_threshold={prune_threshold}: it is from 0 to less than 1.")
        if threads not in (None, 1):
            raise UserError(f"crf.threads={threads}: null for all cores, or 1.")
        self.bilateral_weight, self.bilateral_xy_std = bilateral_weight, bilateral_xy_std
        self.bilateral_rgb_std = bilateral_rgb_std
        self.gaussian_weight, self.gaussian_xy_std = gaussian_weight, gaussian_xy_std
        self.iterations, self.normalization, self.engine = int(iterations), normalization, engine
        self.prune_threshold, self.threads, self.device = prune_threshold, threads, device

    def __repr__(self) -> str:
        return f"DenseCRF({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __call__(self, image: Bytes, probabilities: NDArray[np.floating[Any]] | Tensor) -> Floats:
        """The marginals, float32 (C, H, W), after the mean field.

        Args:
            image: the original RGB bytes (H, W, 3), neither normalised nor in another order of colours.
            probabilities: of the classes (C, H, W), an array or a tensor of floating-point numbers, computed with in
                float32; they add up to 1 at each pixel.

        Raises:
            UserError: the sizes differ, or the values are no probabilities.
        """
        probabilities = _checked(image, probabilities)
        kept = self._kept(probabilities)
        engine = _engine(self.engine)
        if len(kept) == len(probabilities) > 1:
            return engine.refine(self, image, probabilities)
        result = np.zeros_like(probabilities)
        result[kept] = 1 if len(kept) == 1 else engine.refine(self, image, probabilities[kept])
        return result

    def labels(
        self, image: Bytes, probabilities: NDArray[np.floating[Any]] | Tensor
    ) -> NDArray[np.unsignedinteger[Any]]:
        """The most probable class of each pixel (H, W) after the mean field.

        It takes and raises what calling the CRF does. The labels are uint8 for up to 256 classes, uint16 for more.
        """
        probabilities = _checked(image, probabilities)
        kind, kept = np.min_scalar_type(len(probabilities) - 1), self._kept(probabilities)
        engine = _engine(self.engine)
        if not hasattr(engine, "decide"):
            return self(image, probabilities).argmax(0).astype(kind)
        if len(kept) == 1:
            return np.full(image.shape[:2], kept[0], kind)
        if len(kept) == len(probabilities):
            return engine.decide(self, image, probabilities)
        return kept.astype(kind)[engine.decide(self, image, probabilities[kept])]

    def _kept(self, probabilities: Floats) -> NDArray[np.intp]:
        highest = probabilities.reshape(len(probabilities), -1).max(1)
        kept = np.flatnonzero(highest >= self.prune_threshold)
        # with many classes all may be below the threshold; then only the most probable ones are kept
        return kept if len(kept) else np.array([highest.argmax()])


def _check_number(name: str, value: Any, least: str) -> None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise UserError(f"crf.{name}={value}: it is one number.")
    if value < 0 or (value == 0 and least == "more than 0"):
        raise UserError(f"crf.{name}={value}: it is {least}.")


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


def _checked(image: Bytes, given: NDArray[np.floating[Any]] | Tensor) -> Floats:
    """The probabilities as a float32 array, after a check of both arguments."""
    torch = sys.modules.get("torch")  # a tensor comes from a caller who has imported it
    is_tensor = torch is not None and isinstance(given, torch.Tensor)
    probabilities = np.asarray(given.detach().float().cpu() if is_tensor else given)  # type: ignore[union-attr]
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise UserError(
            f"the CRF's image is {image.dtype} {image.shape}: give the original RGB bytes, uint8 (H, W, 3)."
        )
    if probabilities.ndim != 3 or probabilities.shape[1:] != image.shape[:2] or not len(probabilities):
        raise UserError(
            f"the CRF's probabilities are {probabilities.shape} for an image of {image.shape[:2]}: give (C, H, W) with "
            "the image's height and width, in this order."
        )
    if probabilities.dtype not in (np.float16, np.float32, np.float64):
        raise UserError(f"the CRF's probabilities are {probabilities.dtype}: give float32, float64 or float16.")
    probabilities = probabilities.astype(np.float32, copy=False)
    sums = probabilities.sum(0)
    if not np.isfinite(sums).all():
        raise UserError("the CRF's probabilities hold NaN or infinity.")
    if probabilities.min() < -1e-4 or np.abs(sums - 1).max() > 0.05:
        raise UserError(
            f"the CRF's probabilities run from {probabilities.min():.3g} and add up to {sums.min():.3g} to "
            f"{sums.max():.3g} instead of 1: if they are logits, apply the softmax first."
        )
    return probabilities

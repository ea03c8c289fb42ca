"""Inputs of the dense CRF: checks of what a caller gives, with one sentence for what is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.utils.arrays import Floats, Pixels
from deeplab_lit.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def checked_probabilities(image: Pixels, given: NDArray[np.number[Any]] | Tensor) -> Floats:
    """The probabilities (C, H, W) as a float32 array, after a check of both arguments."""
    torch = sys.modules.get("torch")  # a tensor comes from a caller who has imported it
    is_tensor = torch is not None and isinstance(given, torch.Tensor)
    probabilities = np.asarray(given.detach().float().cpu() if is_tensor else given)  # type: ignore[union-attr]
    _check_image(image)
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


def checked_labels(image: Pixels, given: NDArray[np.number[Any]] | Tensor) -> NDArray[np.integer[Any]]:
    """The labels (H, W) as an array of whole numbers, after a check of both arguments."""
    labels = np.asarray(given)
    _check_image(image)
    if labels.shape != image.shape[:2] or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"the CRF's labels are {labels.dtype} {labels.shape} for an image of {image.shape[:2]}: give whole numbers "
            "(H, W)."
        )
    return labels


def checked_channels(image: Pixels, given: NDArray[np.number[Any]] | None) -> Floats | None:
    """The further channels as a float32 array (H, W, K), after a check of their size."""
    if given is None:
        return None
    channels = np.asarray(given, np.float32)
    channels = channels[..., None] if channels.ndim == 2 else channels
    if channels.ndim != 3 or channels.shape[:2] != image.shape[:2] or not np.isfinite(channels).all():
        raise UserError(
            f"the CRF's channels are {channels.shape} for an image of {image.shape[:2]}: give finite numbers (H, W, K)."
        )
    return channels


def _check_image(image: Pixels) -> None:
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        raise UserError(
            f"the CRF's image is {image.dtype} {image.shape}: give the original RGB bytes, uint8 (H, W, 3), or another "
            "image (H, W, C) of uint8 or uint16."
        )

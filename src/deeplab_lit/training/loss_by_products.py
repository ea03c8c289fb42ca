"""The upsampled loss on any device: cross-entropy of upsampled scores, from products with two small matrices.

Bilinear upsampling of a map is ``R @ map @ K.T``, where each row of ``R`` (H, h) and of ``K`` (W, w) holds the weights
of two neighbours. The gradient of the map is the product with the transposes, so that it is the same in every run.
The loss and its gradient are computed for a block of rows at a time. Only the gradient of the coarse map is stored.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from deeplab_lit.data.labels import VOID
from deeplab_lit.kernels.score_maps import places

_BLOCK = 2**23  # scores of a block of rows


def cross_entropy_by_products(
    scores: Tensor,
    labels: Tensor,
    align_corners: bool,
    class_weights: Tensor | None,
    pixel_weights: Tensor | None = None,
) -> Tensor:
    """The result of PyTorch's bilinear ``interpolate`` and ``cross_entropy(..., reduction="sum")``, a scalar.

    Everything is computed in float32, also under autocast and where TF32 is allowed: with factors rounded as in TF32,
    gradients of random scores were off by a thousandth of the largest. The precision of products is a setting of the
    whole process, which is changed for the time of this function. The sum over pixels is in float64, except on Apple's
    GPUs, which lack it. The loss is not finite if a score is not.

    Args:
        scores: float32 (N, C, h, w).
        labels: uint8 or int64 (N, H, W); void (255) does not count.
        align_corners: whether the upsampling aligns corner pixels.
        class_weights: float32 (C), or None.
        pixel_weights: float32 (N, H, W), which multiply the cross-entropy of each pixel, or None.

    Raises:
        IndexError: a label that is neither a class nor void; on a CPU. GPUs raise an error of their own.
    """
    if labels.device.type == "cpu":
        _check(labels, scores.shape[1])
    return _ByProducts.apply(scores, labels, align_corners, class_weights, pixel_weights)


def unknown_label(label: int, classes: int) -> IndexError:
    """The error for a label that is neither a class nor void."""
    return IndexError(f"label {label} is not one of {classes} classes (0 to {classes - 1}), nor void ({VOID})")


def _check(labels: Tensor, classes: int) -> None:
    values = labels.numpy()
    wrong = values[(values != VOID) & ((values < 0) | (values >= classes))]
    if wrong.size:
        raise unknown_label(int(wrong[0]), classes)


class _ByProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        labels: Tensor,
        align_corners: bool,
        class_weights: Tensor | None,
        pixel_weights: Tensor | None,
    ) -> Tensor:
        device = scores.device.type
        autocast = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if autocast else nullcontext(), _without_tf32():
            loss, grad = _loss_and_gradient(scores, labels, align_corners, class_weights, pixel_weights)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor, None, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * of_loss, None, None, None, None


def _loss_and_gradient(
    scores: Tensor,
    labels: Tensor,
    align_corners: bool,
    class_weights: Tensor | None,
    pixel_weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    batch, classes, *size = scores.shape
    height, width = labels.shape[1:]
    rows, columns = (upsampling(labels.shape[1 + i], size[i], align_corners, scores.device) for i in (0, 1))
    above, below, _ = places(height, size[0], align_corners)
    wide = scores @ columns.T
    of_wide = torch.zeros_like(wide)
    loss = scores.new_zeros((), dtype=_exact(scores.device))
    step = max(1, _BLOCK // (batch * classes * width))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        read = slice(int(above[top]), int(below[bottom - 1]) + 1)  # rows of the map that the block lies between
        pixels = None if pixel_weights is None else pixel_weights[:, None, top:bottom]
        label = labels[:, None, top:bottom]
        part, grad = _of_block(rows[top:bottom, read], wide[:, :, read], label, class_weights, pixels)
        loss += part
        of_wide[:, :, read].add_(grad)
    return loss.float(), of_wide @ columns


def _of_block(
    taps: Tensor, wide: Tensor, labels: Tensor, class_weights: Tensor | None, pixel_weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The loss of the rows ``taps @ wide`` (N, C, rows, W) for labels (N, 1, rows, W), and the gradient of ``wide``."""
    void = labels == VOID
    label = labels.long().masked_fill(void, 0)
    weight = torch.ones_like(void, dtype=torch.float32) if class_weights is None else class_weights[label]
    weight = weight.masked_fill_(void, 0)
    weight = weight if pixel_weights is None else weight * pixel_weights
    logs = F.log_softmax(taps @ wide, 1)
    loss = -(logs.gather(1, label) * weight).sum(dtype=_exact(logs.device))
    classes = torch.arange(wide.shape[1], device=wide.device)[:, None, None]
    grad = logs.exp_().add_(label == classes, alpha=-1).mul_(weight)
    return loss, taps.T @ grad


def _exact(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


@functools.lru_cache(64)
def upsampling(new: int, old: int, align_corners: bool, device: torch.device) -> Tensor:
    """The matrix (new, old), float32, that upsamples a column of ``old`` values linearly."""
    first, second, share = places(new, old, align_corners)
    found = np.zeros((new, old), np.float32)
    found[np.arange(new), first] = 1 - share
    found[np.arange(new), second] += share
    with torch.inference_mode(False):
        return torch.from_numpy(found).to(device)


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

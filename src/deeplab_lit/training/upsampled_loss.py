"""The upsampled loss on a CPU: cross-entropy of upsampled scores, computed without storing them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from deeplab_lit.data.labels import VOID
from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.kernels.score_maps import classes_last, places
from deeplab_lit.training.loss_by_products import unknown_label

_PARTS = 4  # blocks of rows of an image, so that a small batch occupies all threads


def is_upsampled_loss_fast(scores: Tensor, labels: Tensor) -> bool:
    """Whether :func:`upsampled_cross_entropy` can be used.

    It needs finite float32 scores on a CPU, labels larger than the scores in both dimensions, and numba.
    ``torch.compile`` excludes it. numpy reads the scores, so that no value is read through PyTorch.
    """
    here = scores.device.type == "cpu" and scores.dtype is torch.float32 and not torch.compiler.is_compiling()
    larger = labels.shape[-2] > scores.shape[-2] and labels.shape[-1] > scores.shape[-1]
    return here and larger and has_numba() and bool(np.isfinite(scores.detach().numpy()).all())


def upsampled_cross_entropy(
    scores: Tensor, labels: Tensor, align_corners: bool, class_weights: Tensor | None
) -> Tensor:
    """The result of PyTorch's bilinear ``interpolate`` and ``cross_entropy(..., reduction="sum")``, in one pass.

    Args:
        scores: float32 (N, C, h, w).
        labels: uint8 or int64 (N, H, W); void (255) does not count.
        align_corners: whether the upsampling aligns corner pixels.
        class_weights: float32 (C), or None.

    Returns:
        The sum of the losses, a scalar.

    Raises:
        IndexError: a label that is neither a class nor void.
    """
    weights = torch.ones(scores.shape[1]) if class_weights is None else class_weights
    return _Upsampled.apply(scores, labels, align_corners, weights)


class _Upsampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor, align_corners: bool, weights: Tensor) -> Tensor:
        from deeplab_lit.kernels import loss as kernels

        batch, classes, *size = scores.shape
        rows, columns = (places(labels.shape[1 + i], size[i], align_corners) for i in (0, 1))
        sums, grad = kernels.cross_entropy(
            classes_last(scores), labels.numpy(), weights.float().numpy(), VOID, *rows, *columns, _PARTS
        )
        loss, _, unknown = sums.sum(0)
        if unknown:
            wrong = labels[(labels != VOID) & ((labels < 0) | (labels >= classes))]
            raise unknown_label(int(wrong[0]), classes)
        grad = grad.reshape(batch, _PARTS, *grad.shape[1:])[..., :classes].sum(1)
        ctx.save_for_backward(torch.from_numpy(grad).permute(0, 3, 1, 2))
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * of_loss, None, None, None

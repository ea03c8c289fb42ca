"""Depthwise convolution whose gradients are fast on a CPU.

PyTorch's forward pass is fast except with wide padding. Its backward pass with holes, strides or filters beyond 3x3
can take fifty times as long. There, the gradient of the input is a forward pass with the filters turned by 180 degrees,
or, with a stride, a compiled kernel, and the gradient of the filters is a compiled kernel. ``benchmarks/depthwise.py``
measures each of these cases.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from deeplab_lit.kernels.loading import has_numba

Pair = tuple[int, int]


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """``F.conv2d(x, weight, None, stride, padding, dilation, groups=channels)`` with a fast backward pass."""
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        x, weight = x.to(kind), weight.to(kind)
    return _Depthwise.apply(x, weight, stride, padding, dilation)


def widely_padded_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """``F.conv2d`` of depthwise filters that is as fast with wide padding as with narrow padding.

    oneDNN has no fast code for padding wider than the number of outputs that it computes at once (5x5 filters of rate
    4: up to thirteen times slower). The padding beyond that width is added to the map first.
    """
    rows, columns = (max(0, width - _widest()) for width in padding)
    if rows or columns:
        x = F.pad(x, (columns, columns, rows, rows))
    return F.conv2d(x, weight, bias, stride, (padding[0] - rows, padding[1] - columns), dilation, x.shape[1])


@functools.cache
def _widest() -> int:
    # measured widths of padding: with AVX-512, 6 is fast and 7 is slow; with AVX2, 4 is fast and 5 is slow
    return 6 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 4


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return widely_padded_conv2d(x, weight, None, stride, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride, padding, dilation = ctx.geometry  # type: ignore[attr-defined]
        needs = ctx.needs_input_grad  # type: ignore[attr-defined]
        with torch.autocast("cpu", enabled=False):
            of_x = of_weight = None
            holes = dilation != (1, 1)
            ours = (holes or stride != (1, 1), holes or max(weight.shape[2:]) > 3) if has_numba() else (False, False)
            if needs[0] and ours[0]:
                of_x = _of_input(x, weight, grad, stride, padding, dilation)
            if needs[1] and ours[1]:
                of_weight = _of_weight(x, weight, grad, stride, padding, dilation)
            rest = (needs[0] and of_x is None, needs[1] and of_weight is None, False)
            if any(rest):
                theirs = torch.ops.aten.convolution_backward(
                    grad, x, weight, None, stride, padding, dilation, False, (0, 0), x.shape[1], rest
                )
                of_x, of_weight = theirs[0] if rest[0] else of_x, theirs[1] if rest[1] else of_weight
        return of_x, of_weight, None, None, None


def _of_input(x: Tensor, weight: Tensor, grad: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    if stride != (1, 1):
        taps = _last(weight.permute(1, 0, 2, 3))[0]
        from deeplab_lit.kernels import depthwise_gradients as kernels

        found = kernels.input_gradient(_last(grad), taps, *x.shape[2:], *stride, *padding, *dilation)
        return torch.from_numpy(found).permute(0, 3, 1, 2).to(x.dtype)
    edges = [dilation[i] * (weight.shape[2 + i] - 1) - padding[i] for i in (0, 1)]
    if min(edges) < 0:  # outputs whose taps all lie in the padding are cut off
        cut = [max(0, -edge) for edge in edges]
        grad = grad[:, :, cut[0] : grad.shape[2] - cut[0], cut[1] : grad.shape[3] - cut[1]]
        edges = [max(0, edge) for edge in edges]
    return widely_padded_conv2d(grad, weight.flip(2, 3), None, (1, 1), (edges[0], edges[1]), dilation)


def _of_weight(x: Tensor, weight: Tensor, grad: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    parts = 4 * torch.get_num_threads()
    from deeplab_lit.kernels import depthwise_gradients as kernels

    found = kernels.filter_gradient(_last(x), _last(grad), *stride, *padding, *dilation, *weight.shape[2:], parts)
    return torch.from_numpy(found.sum(0)).permute(2, 0, 1)[:, None].to(weight.dtype)


def _last(x: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(x.permute(0, 2, 3, 1).contiguous().float().numpy())

"""GEMM: convolutions of one map to few outputs, as a single matrix product.

A convolution to 21 classes uses little of a CPU's vector units. One matrix product computes, at every position, the
score of every tap of every branch. These scores, shifted by the offsets of their taps, add up to the scores of ASPP or
LargeFOV (V2, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Offset = tuple[int, int]


def gemm_conv2d(
    x: Float[Tensor, "batch channels height width"],
    weights: Sequence[Float[Tensor, "classes channels _ _"]],
    rates: Sequence[int],
) -> Float[Tensor, "batch classes height width"]:
    """The sum of convolutions of ``x``, one for each weight and rate, with zero padding that keeps the map size.

    Args:
        x: features (N, C, h, w).
        weights: filters, all with the same number of outputs.
        rates: the rate of each; even where the kernel size is even.

    Returns:
        The sum of the scores, at least in single precision.
    """
    taps: dict[Offset, Tensor] = {}
    for weight, rate in zip(weights, rates, strict=True):
        top, left = (rate * (side - 1) // 2 for side in weight.shape[2:])
        for i in range(weight.shape[2]):
            for j in range(weight.shape[3]):
                offset = rate * i - top, rate * j - left
                tap = weight[:, :, i, j]
                # the central taps of all branches have the same offset
                taps[offset] = taps[offset] + tap if offset in taps else tap
    seen = {offset: tap for offset, tap in taps.items() if abs(offset[0]) < x.shape[2] and abs(offset[1]) < x.shape[3]}
    products = F.linear(x.permute(0, 2, 3, 1), torch.cat(list(seen.values())))
    return _Shifted.apply(products, list(seen)).permute(0, 3, 1, 2)


class _Shifted(torch.autograd.Function):
    """The sum of shifted scores: (N, h, w, taps * classes) to (N, h, w, classes)."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, offsets: list[Offset]) -> Tensor:
        batch, height, width, channels = products.shape
        classes = channels // len(offsets)
        ctx.offsets, ctx.kind = offsets, products.dtype
        kind = torch.promote_types(products.dtype, torch.float32)
        total = torch.zeros(batch, height, width, classes, dtype=kind, device=products.device)
        for tap, (there, here) in zip(torch.split(products, classes, -1), _places(offsets, height, width), strict=True):
            total[here] += tap[there]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        batch, height, width, classes = grad.shape
        grad = grad.to(ctx.kind)
        found = grad.new_zeros(batch, height, width, classes * len(ctx.offsets))
        taps = torch.split(found, classes, -1)
        for tap, (there, here) in zip(taps, _places(ctx.offsets, height, width), strict=True):
            tap[there] = grad[here]
        return found, None


def _places(offsets: Sequence[Offset], height: int, width: int) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each offset, the part of the map that is read, and the part of the output that reads it."""

    def rows(by: int, size: int) -> tuple[slice, slice]:
        return slice(max(0, by), size + min(0, by)), slice(max(0, -by), size + min(0, -by))

    found = []
    for down, right in offsets:
        (there_y, here_y), (there_x, here_x) = rows(down, height), rows(right, width)
        found.append(((slice(None), there_y, there_x), (slice(None), here_y, here_x)))
    return found

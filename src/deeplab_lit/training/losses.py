"""The training loss: cross-entropy of score maps against shrunk labels (V1, section 3.1; V2, section 4)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer
from torch import Tensor

from deeplab_lit.data.labels import VOID
from deeplab_lit.models.resize import resize
from deeplab_lit.training.loss_by_products import cross_entropy_by_products
from deeplab_lit.training.upsampled_loss import is_upsampled_loss_fast, upsampled_cross_entropy

Resolution = Literal["map", "full"]
Size = tuple[int, int]
Summed = Callable[[Tensor, Tensor, bool, Tensor | None], Tensor]


def shrink_labels(
    mask: Integer[Tensor, "batch height width"], size: Size, align_corners: bool = True
) -> Int[Tensor, "batch h w"]:
    """Labels resized to ``size`` (h, w) by nearest-neighbour sampling, as int64.

    With ``align_corners`` and 321 -> 41 the step is exactly 8, so this is ``mask[:, ::8, ::8]``.
    """
    rows, columns = (
        _positions(old, new, align_corners, mask.device) for old, new in zip(mask.shape[-2:], size, strict=True)
    )
    return mask[:, rows[:, None], columns].long()


@functools.lru_cache(64)
def _positions(old: int, new: int, align_corners: bool, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        index = torch.arange(new, dtype=torch.float64)  # on the CPU, since Apple's GPUs lack double precision
        if align_corners:
            return torch.floor(index * ((old - 1) / max(new - 1, 1)) + 0.5).long().to(device)
        return torch.floor((index + 0.5) * (old / new)).long().clamp(max=old - 1).to(device)


def label_weights(
    mask: Integer[Tensor, "batch height width"],
    sizes: Sequence[Size | None],
    align_corners: bool = True,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, " maps"]:
    """The number (with ``class_weights``, the weight) of the labelled pixels that each map meets; float32.

    Args:
        mask: labels at the size of the input image, uint8 or int64; void (255) does not count.
        sizes: height and width of each map that labels are shrunk to; None: the labels themselves.
        align_corners: whether the shrinking aligns corner pixels.
        class_weights: of each class's pixels; None: each pixel counts 1.
    """
    return _weights(_labels(mask, sizes, align_corners), sizes, class_weights)


def segmentation_loss(
    maps: Sequence[Float[Tensor, "batch classes _ _"]],
    mask: Integer[Tensor, "batch height width"],
    resolution: Resolution = "map",
    align_corners: bool = True,
    class_weights: Float[Tensor, " classes"] | None = None,
    weights: Float[Tensor, " maps"] | None = None,
    summed: Summed | None = None,
) -> Float[Tensor, ""]:
    """The sum over score maps of the mean cross-entropy over labelled pixels; void (255) does not count.

    Args:
        maps: score maps at their own strides, each with weight 1 (four of them under multi-scale inputs).
        mask: labels at the size of the input image, uint8 or int64.
        resolution: ``"map"`` shrinks the labels to each map, as the papers do; ``"full"`` upsamples each map instead.
        align_corners: whether either resizing aligns corner pixels.
        class_weights: of each class's pixels in the mean; None: equal weights.
        weights: the divisor of each map's sum; None: :func:`label_weights` of this batch. With several processes it is
            the mean over them, so that their averaged gradients equal those of one process.
        summed: a compiled :func:`summed_cross_entropy`; None: the function itself.

    Returns:
        A scalar; 0 (with zero gradients) where every pixel is void.
    """
    sizes = [map_size(scores, resolution) for scores in maps]
    labels = _labels(mask, sizes, align_corners)
    weights = _weights(labels, sizes, class_weights) if weights is None else weights
    total = maps[0].new_zeros((), dtype=torch.float32)
    for scores, size, divisor in zip(maps, sizes, weights.masked_fill(weights <= 0, 1), strict=True):
        total = total + (summed or summed_cross_entropy)(scores, labels[size], align_corners, class_weights) / divisor
    return total


def map_size(scores: Float[Tensor, "batch classes h w"], resolution: Resolution) -> Size | None:
    """The size that labels are shrunk to for a score map; None: they are not shrunk."""
    return None if resolution == "full" else (scores.shape[-2], scores.shape[-1])


def summed_cross_entropy(
    scores: Float[Tensor, "batch classes _ _"],
    labels: Integer[Tensor, "batch h w"],
    align_corners: bool,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """The sum over labelled pixels of the cross-entropy of scores that are upsampled to the labels, in float32.

    Upsampled maps are stored only under ``torch.compile``, which has its own way.
    """
    scores = scores.float()
    size = (labels.shape[-2], labels.shape[-1])
    if is_upsampled_loss_fast(scores, labels):
        return upsampled_cross_entropy(scores, labels, align_corners, class_weights)
    if not torch.compiler.is_compiling() and tuple(scores.shape[-2:]) != size:
        return cross_entropy_by_products(scores, labels, align_corners, class_weights)
    scores = resize(scores, size, align_corners)
    return F.cross_entropy(scores, labels.long(), class_weights, ignore_index=VOID, reduction="sum")


def _labels(mask: Tensor, sizes: Sequence[Size | None], align_corners: bool) -> dict[Size | None, Tensor]:
    return {size: mask if size is None else shrink_labels(mask, size, align_corners) for size in dict.fromkeys(sizes)}


def _weights(labels: dict[Size | None, Tensor], sizes: Sequence[Size | None], class_weights: Tensor | None) -> Tensor:
    found = {size: _weight(each, class_weights) for size, each in labels.items()}
    return torch.stack([found[size] for size in sizes])


def _weight(labels: Tensor, class_weights: Tensor | None) -> Tensor:
    if class_weights is None:
        return (labels != VOID).sum().float()
    void = labels == VOID
    return class_weights[labels.long().masked_fill(void, 0)].masked_fill(void, 0).sum()

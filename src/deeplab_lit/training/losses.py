"""The training loss: cross-entropy of score maps against shrunk labels (V1, section 3.1; V2, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer as Int
from torch import Tensor

from deeplab_lit.data.labels import VOID
from deeplab_lit.models.resize import resize
from deeplab_lit.training.upsampled_loss import is_upsampled_loss_fast, upsampled_cross_entropy

Resolution = Literal["map", "full"]
Summed = Callable[[Tensor, Tensor, bool, Tensor | None], tuple[Tensor, Tensor]]


def shrink_labels(
    mask: Int[Tensor, "batch height width"], size: tuple[int, int], align_corners: bool = True
) -> Int[Tensor, "batch h w"]:
    """Labels resized to ``size`` (h, w) by nearest-neighbour sampling.

    With ``align_corners`` and 321 -> 41 the step is exactly 8, so this is ``mask[:, ::8, ::8]``.
    """
    rows, columns = (
        _positions(old, new, align_corners).to(mask.device) for old, new in zip(mask.shape[-2:], size, strict=True)
    )
    return mask[:, rows[:, None], columns]


def _positions(old: int, new: int, align_corners: bool) -> Tensor:
    index = torch.arange(new, dtype=torch.float64)
    if align_corners:
        return torch.floor(index * ((old - 1) / max(new - 1, 1)) + 0.5).long()
    return torch.floor((index + 0.5) * (old / new)).long().clamp(max=old - 1)


def label_weights(
    mask: Int[Tensor, "batch height width"],
    sizes: Sequence[tuple[int, int] | None],
    align_corners: bool = True,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, " maps"]:
    """x"""
    found = []
    for size in sizes:
        labels = mask if size is None else shrink_labels(mask, size, align_corners)
        known = labels != VOID
        if class_weights is None:
            found.append(known.sum().float())
        else:
            found.append(torch.where(known, class_weights[labels.long().where(known, 0)], 0).sum())
    return torch.stack(found)


def segmentation_loss(
    maps: Sequence[Float[Tensor, "batch classes _ _"]],
    mask: Int[Tensor, "batch height width"],
    resolution: Resolution = "map",
    align_corners: bool = True,
    class_weights: Float[Tensor, " classes"] | None = None,
    weights: Tensor | None = None,
    summed: Summed | None = None,
) -> Float[Tensor, ""]:
    """x"""
    total = maps[0].new_zeros((), dtype=torch.float32)
    for number, scores in enumerate(maps):
        labels = mask if resolution == "full" else shrink_labels(mask, (scores.shape[-2], scores.shape[-1]), align_corners)
        value, weight = (summed or summed_cross_entropy)(scores, labels.long(), align_corners, class_weights)
        weight = weight if weights is None else weights[number]
        total = total + value / torch.where(weight > 0, weight, 1)
    return total


def summed_cross_entropy(
    scores: Float[Tensor, "batch classes _ _"],
    labels: Int[Tensor, "batch h w"],
    align_corners: bool,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> tuple[Tensor, Tensor]:
    """The sum over labelled pixels of the cross-entropy of scores that are upsampled to the labels.

    Upsampling and loss are computed in float32.

    Returns:
        The sum, and the number of labelled pixels (with ``class_weights``, the sum of their weights); both scalars.
    """
    scores = scores.float()
    if is_upsampled_loss_fast(scores, labels):
        return upsampled_cross_entropy(scores, labels, align_corners, class_weights)
    scores = resize(scores, (labels.shape[-2], labels.shape[-1]), align_corners)
    value = F.cross_entropy(scores, labels, class_weights, ignore_index=VOID, reduction="sum")
    known = labels != VOID
    if class_weights is None:
        return value, known.sum().float()
    return value, torch.where(known, class_weights[labels.where(known, 0)], 0).sum()

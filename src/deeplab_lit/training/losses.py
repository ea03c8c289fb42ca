"""The training loss: cross-entropy of score maps against shrunk labels (V1, section 3.1; V2, section 4)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

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
Mask = Integer[Tensor, "batch height width"] | Sequence[Integer[Tensor, "batch _ _"]]
Summed = Callable[..., Tensor]
_BACKGROUND = 0


def shrink_labels(
    mask: Integer[Tensor, "batch height width"], size: Size, align_corners: bool = True
) -> Int[Tensor, "batch h w"]:
    """Labels resized to ``size`` (h, w) by nearest-neighbour sampling, as int64.

    With ``align_corners`` and 321 -> 41 the step is exactly 8, so this is ``mask[:, ::8, ::8]``.
    """
    return _nearest(mask, size, align_corners).long()


def _nearest(plane: Tensor, size: Size, align_corners: bool) -> Tensor:
    rows, columns = (
        _positions(old, new, align_corners, plane.device) for old, new in zip(plane.shape[-2:], size, strict=True)
    )
    return plane[:, rows[:, None], columns]


@functools.lru_cache(64)
def _positions(old: int, new: int, align_corners: bool, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        index = torch.arange(new, dtype=torch.float64)  # on the CPU, since Apple's GPUs lack double precision
        if align_corners:
            return torch.floor(index * ((old - 1) / max(new - 1, 1)) + 0.5).long().to(device)
        return torch.floor((index + 0.5) * (old / new)).long().clamp(max=old - 1).to(device)


def label_weights(
    mask: Mask,
    sizes: Sequence[Size | None],
    align_corners: bool = True,
    class_weights: Float[Tensor, " classes"] | None = None,
    balanced: bool = False,
    pixel_weights: Float[Tensor, "batch height width"] | None = None,
) -> Float[Tensor, " maps"] | Float[Tensor, "maps 2"]:
    """The number (with weights of classes or pixels, the weight) of the labelled pixels that each map meets; float32.

    Args:
        mask: labels at the size of the input image, uint8 or int64; or a list with the labels of each map. Void (255)
            does not count.
        sizes: height and width of each map that labels are shrunk to; None: the labels themselves.
        align_corners: whether the shrinking aligns corner pixels.
        class_weights: of each class's pixels; None: each pixel counts 1.
        balanced: return two numbers for each map, that of background (class 0) and that of all other classes.
        pixel_weights: of each pixel, shrunk with its label; None: each pixel counts 1.
    """
    labels = labels_of_maps(mask, sizes, align_corners)
    return _weights(labels, class_weights, balanced, labels_of_maps(pixel_weights, sizes, align_corners))


def segmentation_loss(
    maps: Sequence[Float[Tensor, "batch classes _ _"]],
    mask: Mask,
    resolution: Resolution = "map",
    align_corners: bool = True,
    class_weights: Float[Tensor, " classes"] | None = None,
    weights: Tensor | None = None,
    summed: Summed | None = None,
    balanced: bool = False,
    pixel_weights: Float[Tensor, "batch height width"] | None = None,
) -> Float[Tensor, ""]:
    """The sum over score maps of the mean cross-entropy over labelled pixels; void (255) does not count.

    Args:
        maps: score maps at their own strides, each with weight 1 (four of them under multi-scale inputs).
        mask: labels at the size of the input image, uint8 or int64; or a list with the labels that each map meets.
        resolution: ``"map"`` shrinks the labels to each map, as the papers do; ``"full"`` upsamples each map instead.
        align_corners: whether either resizing aligns corner pixels.
        class_weights: of each class's pixels in the mean; None: equal weights.
        weights: the divisors of each map's sums; None: :func:`label_weights` of this batch. With several processes it
            is the mean over them, so that their averaged gradients equal those of one process.
        summed: a compiled :func:`summed_cross_entropy`; None: the function itself.
        balanced: the loss of a map is half the mean over background (class 0) plus half the mean over all other
            classes. Where a batch lacks one of the two, its half is 0.
        pixel_weights: of each pixel in the mean, shrunk with its label; None: equal weights.

    Returns:
        A scalar; 0 (with zero gradients) where every pixel is void.
    """
    sizes = [map_size(scores, resolution) for scores in maps]
    labels, pixels = (labels_of_maps(each, sizes, align_corners) for each in (mask, pixel_weights))
    if weights is None:
        weights = _weights(labels, class_weights, balanced, pixels)
    divisors = weights.masked_fill(weights <= 0, 1)
    total = maps[0].new_zeros((), dtype=torch.float32)
    for scores, label, pixel, divisor in zip(maps, labels, pixels, divisors, strict=True):
        of_classes, whole = _halves(scores.shape[1], divisor, class_weights) if balanced else (class_weights, divisor)
        more = () if pixel is None else (pixel,)
        total = total + (summed or summed_cross_entropy)(scores, label, align_corners, of_classes, *more) / whole
    return total


def map_size(scores: Float[Tensor, "batch classes h w"], resolution: Resolution) -> Size | None:
    """The size that labels are shrunk to for a score map; None: they are not shrunk."""
    return None if resolution == "full" else (scores.shape[-2], scores.shape[-1])


def summed_cross_entropy(
    scores: Float[Tensor, "batch classes _ _"],
    labels: Integer[Tensor, "batch h w"],
    align_corners: bool,
    class_weights: Float[Tensor, " classes"] | None = None,
    pixel_weights: Float[Tensor, "batch h w"] | None = None,
) -> Float[Tensor, ""]:
    """The sum over labelled pixels of the cross-entropy of scores that are upsampled to the labels, in float32.

    Upsampled maps are stored only under ``torch.compile``, which has its own way.
    """
    scores = scores.float()
    size = (labels.shape[-2], labels.shape[-1])
    if pixel_weights is None and is_upsampled_loss_fast(scores, labels):
        return upsampled_cross_entropy(scores, labels, align_corners, class_weights)
    if not torch.compiler.is_compiling() and tuple(scores.shape[-2:]) != size:
        return cross_entropy_by_products(scores, labels, align_corners, class_weights, pixel_weights)
    scores = resize(scores, size, align_corners)
    if pixel_weights is None:
        return F.cross_entropy(scores, labels.long(), class_weights, ignore_index=VOID, reduction="sum")
    each = F.cross_entropy(scores, labels.long(), class_weights, ignore_index=VOID, reduction="none")
    return (each * pixel_weights).sum()


def labels_of_maps(
    plane: Tensor | Sequence[Tensor] | None, sizes: Sequence[Size | None], align_corners: bool
) -> list[Any]:
    """The labels, or the weights of pixels, that each map meets; maps of one size share a tensor.

    Args:
        plane: labels or weights at the size of the input image; None gives None for each map; a list is the result.
        sizes: height and width of each map that they are shrunk to; None: they are not shrunk.
        align_corners: whether the shrinking aligns corner pixels.
    """
    if plane is None:
        return [None] * len(sizes)
    if not isinstance(plane, Tensor):
        return list(plane)
    found = {size: plane if size is None else _nearest(plane, size, align_corners) for size in dict.fromkeys(sizes)}
    return [found[size] for size in sizes]


def _weights(
    labels: Sequence[Tensor], class_weights: Tensor | None, balanced: bool, pixels: Sequence[Tensor | None]
) -> Tensor:
    found: dict[int, Tensor] = {}  # of each tensor of labels, by its identity
    for label, pixel in zip(labels, pixels, strict=True):
        if id(label) not in found:
            found[id(label)] = _weight(label, class_weights, balanced, pixel)
    return torch.stack([found[id(label)] for label in labels])


def _weight(labels: Tensor, class_weights: Tensor | None, balanced: bool, pixels: Tensor | None) -> Tensor:
    if class_weights is None and pixels is None and not balanced:
        return (labels != VOID).sum().float()
    void = labels == VOID
    if class_weights is None:
        each = (~void).float() if pixels is None else pixels.masked_fill(void, 0)
    else:
        each = class_weights[labels.long().masked_fill(void, 0)].masked_fill(void, 0)
        each = each if pixels is None else each * pixels
    if not balanced:
        return each.sum()
    background = labels == _BACKGROUND
    return torch.stack([each.masked_fill(~background, 0).sum(), each.masked_fill(background, 0).sum()])


def _halves(classes: int, divisors: Tensor, class_weights: Tensor | None) -> tuple[Tensor, int]:
    """Weights of classes that make a sum the balanced mean, from the divisors of background and of the rest."""
    background, others = (0.5 / divisors).unbind()
    found = torch.cat([background[None], others.expand(classes - 1)])
    return found if class_weights is None else found * class_weights, 1

"""Hard pixels: labels in which pixels that are easy for the network are void (online hard example mining)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from deeplab_lit.data.labels import VOID
from deeplab_lit.models.resize import resize


@torch.no_grad()
def hard_labels(
    scores: Float[Tensor, "batch classes _ _"],
    labels: Integer[Tensor, "batch h w"],
    align_corners: bool,
    threshold: float,
    min_kept: int,
) -> Integer[Tensor, "batch h w"]:
    """The labels of hard pixels; all other pixels are void.

    A pixel is hard if the probability of its label is below ``threshold``, or if it is among the ``min_kept`` least
    probable ones of its image. Each image is judged by itself, so that the choice does not depend on how a batch is
    shared by processes. A pixel whose probability is not a number is hard, so that such a loss does not pass unseen.

    Args:
        scores: upsampled bilinearly to the labels where they are smaller.
        labels: void (255) stays void.
        align_corners: whether the upsampling aligns corner pixels.
        threshold: a probability.
        min_kept: pixels of an image; 0: ``threshold`` alone decides.
    """
    pairs = zip(scores, labels, strict=True)
    return torch.stack([_of_image(each, label, align_corners, threshold, min_kept) for each, label in pairs])


def _of_image(scores: Tensor, labels: Tensor, align_corners: bool, threshold: float, min_kept: int) -> Tensor:
    void = labels == VOID
    index = labels.long().masked_fill(void, 0)
    upsampled = resize(scores[None].float(), (labels.shape[-2], labels.shape[-1]), align_corners)
    likely = upsampled.softmax(1)[0].gather(0, index[None])[0].masked_fill_(void, torch.inf)
    easy = likely >= threshold
    if min_kept:
        easy &= likely > likely.flatten().kthvalue(min(min_kept, likely.numel())).values
    return labels.masked_fill(easy, VOID)

"""Pixel labels: the class of each pixel from a coarse map of scores."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.kernels.score_maps import classes_last, places
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.models.resize import resize


def pixel_labels(network: Any, image: Float[Tensor, "batch bands height width"]) -> Tensor:
    """The labels (N, H, W) of a network: ``network.scores(image).argmax(1)``, computed faster on a CPU.

    Where the scores of two classes are equal within rounding, the label may be either.
    """
    if not isinstance(network, (DeepLab, MultiScaleInput)):
        found: Tensor = network.scores(image).argmax(1)
        return found
    size = (image.shape[-2], image.shape[-1])
    return upsampled_argmax(network(image).float(), size, network.align_corners)


def upsampled_argmax(
    scores: Float[Tensor, "batch classes h w"], size: tuple[int, int], align_corners: bool
) -> UInt8[Tensor, "batch height width"] | Tensor:
    """The argmax of scores that are upsampled bilinearly, as uint8 and without upsampled maps where it runs compiled.

    Args:
        scores: float32.
        size: height and width of the labels.
        align_corners: the geometry of the upsampling.
    """
    larger = size[0] >= scores.shape[-2] and size[1] >= scores.shape[-1]
    here = scores.device.type == "cpu" and scores.shape[1] <= 256
    if not (here and larger and has_numba() and bool(scores.isfinite().all())):
        return resize(scores, size, align_corners).argmax(1)
    from deeplab_lit.kernels import label_maps as kernels

    rows, columns = (places(size[i], scores.shape[2 + i], align_corners) for i in (0, 1))
    return torch.from_numpy(kernels.upsampled_argmax(classes_last(scores), *rows, *columns))

"""Bilinear resizing of images and score maps (V2, section 3.1), and the size rule that goes with it."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def resize(
    x: Float[Tensor, "batch channels height width"], size: tuple[int, int], align_corners: bool = True
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Resize bilinearly to ``size`` (height, width); a map that has the size already is returned as it is.

    Caffe's ``Interp`` layer puts the corner pixels on each other, hence ``align_corners=True``.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(height, width) of an image scaled by ``factor`` with its corners kept: 321 gives 161 at 0.5, 241 at 0.75."""
    height, width = (max(1, int((side - 1) * factor) + 1) for side in size)
    return height, width

"""Resizing of images and score maps, bilinear (V2, section 3.1), and the rule of scaled sizes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def resize(
    x: Float[Tensor, "batch channels height width"], size: tuple[int, int], align_corners: bool = True
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Resize bilinearly to ``size`` (height, width); a map that already has the size is returned unchanged.

    ``align_corners=True`` is the geometry of Caffe's ``Interp`` layer, which aligns the corner pixels.
    """
    if _known_equal(x.shape[-2:], size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def _known_equal(old: Sequence[int], new: Sequence[int]) -> bool:
    """Whether two sizes are equal for all images; while a network is exported, sizes are symbols."""
    if all(type(side) is int for side in (*old, *new)):
        return tuple(old) == tuple(new)
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return all(statically_known_true(a == b) for a, b in zip(old, new, strict=True))


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(height, width) of an image scaled by ``factor`` with aligned corners: 321 gives 161 at 0.5 and 241 at 0.75."""
    # in integers, so that an exported network follows the size of its input
    exact = Fraction(factor).limit_denominator(1000)
    height, width = ((side - 1) * exact.numerator // exact.denominator + 1 for side in size)
    return height, width

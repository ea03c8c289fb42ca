"""DeepLab: a trunk with atrous convolution, and a head."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deeplab_lit.models.folding import fold_norms
from deeplab_lit.models.lines_at_once import LinesAtOnce
from deeplab_lit.models.resize import resize

Image = Float[Tensor, "batch bands height width"]
Logits = Float[Tensor, "batch classes h w"]


class DeepLab(nn.Module):
    """A trunk and a head: maps normalised images to class scores at the trunk's output stride.

    Batch normalisation with frozen statistics is folded into the trunk's filters
    (:func:`deeplab_lit.models.folding.fold_norms`).

    Args:
        trunk: maps images to features; see :mod:`deeplab_lit.models.backbones`.
        head: maps features to scores; see :mod:`deeplab_lit.models.heads`.
        align_corners: the geometry of the upsampling; True aligns the corner pixels, as in the released nets.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, align_corners: bool = True) -> None:
        super().__init__()
        self.trunk, self.head, self.align_corners = fold_norms(trunk), head, align_corners
        self._lines = LinesAtOnce(trunk)

    def forward(self, image: Image) -> Logits:
        if torch.compiler.is_compiling():  # which joins operations itself
            return self._scores(image)
        with self._lines.computed():
            return self._scores(image)

    def _scores(self, image: Image) -> Logits:
        if getattr(self.head, "takes_taps", False):
            return self.head(*self.trunk.forward_taps(image))  # type: ignore[operator]
        return self.head(self.trunk(image))

    def supervised(self, image: Image) -> list[Tensor]:
        """The score maps whose losses are summed in training."""
        return [self(image)]

    def scores(self, image: Image) -> Float[Tensor, "batch classes height width"]:
        """Class scores for every pixel of the image: bilinear upsampling of the coarse map (V2, section 3.1).

        The scores are in single precision, since half precision makes close scores equal.
        """
        return resize(self(image).float(), (image.shape[-2], image.shape[-1]), self.align_corners)

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the new classifier layers."""
        return self.head.new_parameters()  # type: ignore[operator]

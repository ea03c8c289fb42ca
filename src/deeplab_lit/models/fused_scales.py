"""Scales fused at the pixels of the image: a trained network at any scales of its input, for testing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deeplab_lit.models.deeplab import DeepLab, Image
from deeplab_lit.models.folding import folded_once
from deeplab_lit.models.resize import resize, scaled_size

Fusion = Literal["max_scores", "mean_scores", "max_probabilities", "mean_probabilities"]
"""Over the scales, the maximum or the mean, of the scores or of the probabilities, at each pixel and class."""

Mirrored = Literal[False, True, "sum"]
"""Whether the mirror image is taken too: True for the mean of both, ``"sum"`` for their sum."""


class FusedScales(nn.Module):
    """A network at several scales of its input, each upsampled to the image before the scales are fused.

    The scale 0.5 alone is for a network that was trained on images of half size
    (:mod:`deeplab_lit.data.half_size`): its input is the mean of each square of four pixels, as there. Bilinear
    resizing with aligned corners would take every second pixel.

    Args:
        network: the network.
        scales: factors of the input size, above 1 too.
        fusion: what is fused over the scales, and how.
        mirrored: take at each scale the mean over the input and its mirror image, of what is fused; or the sum, which
            doubles scores.
        max_side: the longest side in pixels of a scaled input; larger ones are scaled to it. Scales that are equal then
            count once. None: no bound.

    Raises:
        ValueError: scales that are equal or not positive, or a bound below 1.
    """

    def __init__(
        self,
        network: DeepLab,
        scales: Sequence[float],
        fusion: Fusion = "max_scores",
        mirrored: Mirrored = False,
        max_side: int | None = None,
    ) -> None:
        super().__init__()
        if not scales or not all(scale > 0 for scale in scales) or len(set(scales)) < len(scales):
            raise ValueError(f"scales={list(scales)}: give different factors above 0, such as [0.5,1.0,1.5].")
        if max_side is not None and max_side < 1:
            raise ValueError(f"max_side={max_side}: it is a number of pixels, at least 1, or null for no bound.")
        self.network, self.align_corners = network, network.align_corners
        self.scales = tuple(sorted(scales, reverse=True))
        self.fusion, self.mirrored, self.max_side = fusion, mirrored, max_side

    def scores(self, image: Image) -> Float[Tensor, "batch classes height width"]:
        """Scores of every pixel, whose softmax gives the fused probabilities.

        They are the fused scores, or the logarithms of the fused probabilities. The softmax makes maxima of
        probabilities add up to 1.
        """
        of_probabilities, largest = self.fusion.endswith("probabilities"), self.fusion.startswith("max")
        sizes = self._sizes((image.shape[-2], image.shape[-1]))
        with folded_once(self.network):
            found = (self._of_scale(image, size, of_probabilities) for size in sizes)
            fused = functools.reduce(torch.maximum if largest else torch.add, found)
        fused = fused if largest else fused / len(sizes)
        return fused.clamp_min(torch.finfo(fused.dtype).tiny).log() if of_probabilities else fused

    def _sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Height and width of each scaled input."""
        most = float("inf") if self.max_side is None else (self.max_side - 1) / max(1, max(size) - 1)
        return list(dict.fromkeys(scaled_size(size, min(scale, most)) for scale in self.scales))

    def _of_scale(self, image: Tensor, size: tuple[int, int], of_probabilities: bool) -> Tensor:
        """What is fused, at every pixel of the image, of the input at one size."""
        x = self._resized(image, size)
        views = [self._upsampled(x, image)]
        if self.mirrored:
            views.append(self._upsampled(x.flip(-1), image).flip(-1))
        each = torch.stack([view.softmax(1) if of_probabilities else view for view in views])
        return each.sum(0) if self.mirrored == "sum" else each.mean(0)

    def _resized(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        if self.scales == (0.5,) and self.max_side is None:
            return F.avg_pool2d(F.pad(image, (0, 1, 0, 1), mode="replicate"), 2)  # an odd last line stays what it is
        return resize(image, size, self.align_corners)

    def _upsampled(self, x: Tensor, image: Tensor) -> Tensor:
        return resize(self.network(x).float(), (image.shape[-2], image.shape[-1]), self.align_corners)

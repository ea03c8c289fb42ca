"""Multi-scale inputs with shared weights, fused by the maximum (V2, section 4.1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deeplab_lit.models.deeplab import DeepLab, Image, Logits
from deeplab_lit.models.folding import folded_once
from deeplab_lit.models.norm import unchanged_running_statistics
from deeplab_lit.models.resize import resize, scaled_size

MscLoss = Literal["full_map", "own_map"]


class MultiScaleInput(nn.Module):
    """A DeepLab at several scales of its input, with the maximum of the scores at each position.

    Args:
        network: the network, shared by all scales.
        scales: factors of the input size; 1.0 must be among them. The paper: 0.5, 0.75, 1.
        msc_loss: the size at which the loss of a scale that does not divide the size exactly (0.75) is taken:
            ``"full_map"`` upsamples its map to the full map, as in the released nets; ``"own_map"`` does not.
        recompute: in training, keep only the score maps of the smaller scales, and compute their layers again in the
            backward pass. The gradients are the same; the memory is about that of the largest scale alone.

    Raises:
        ValueError: a scale is not in (0, 1], or 1.0 is missing; an unknown ``msc_loss``.
    """

    def __init__(
        self,
        network: DeepLab,
        scales: Sequence[float] = (0.5, 0.75, 1.0),
        msc_loss: MscLoss = "full_map",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if msc_loss not in get_args(MscLoss):
            raise ValueError(f"msc_loss={msc_loss!r} is not known: choose one of {', '.join(get_args(MscLoss))}.")
        if 1.0 not in scales or not all(0 < scale <= 1 for scale in scales) or len(set(scales)) < len(scales):
            raise ValueError(
                f"scales={list(scales)}: give different factors in (0, 1] with 1.0 among them, such as [0.5,0.75,1.0]."
            )
        self.network = network
        self.scales = tuple(sorted(scales, reverse=True))
        self.align_corners, self.msc_loss, self.recompute = network.align_corners, msc_loss, recompute

    def _maps(self, image: Image) -> list[Tensor]:
        if torch.compiler.is_compiling() or (self.recompute and torch.is_grad_enabled()):
            return self._maps_of_scales(image)  # the repeated pass folds its filters again, as the first one did
        with folded_once(self.network):
            return self._maps_of_scales(image)

    def _maps_of_scales(self, image: Image) -> list[Tensor]:
        size = (image.shape[-2], image.shape[-1])
        maps = {}
        # the backward pass begins with the scale that was computed last, and frees it before it recomputes the others
        for scale in reversed(self.scales):
            x = resize(image, scaled_size(size, scale), self.align_corners)
            if self.recompute and scale < 1 and torch.is_grad_enabled():
                maps[scale] = checkpoint(self.network, x, use_reentrant=False, context_fn=self._contexts)
            else:
                maps[scale] = self.network(x)
        return [maps[scale] for scale in self.scales]

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Contexts of the forward pass and of its repetition, which leaves running statistics unchanged."""
        return nullcontext(), unchanged_running_statistics(self.network)

    def _fuse(self, maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        full = (maps[0].shape[-2], maps[0].shape[-1])
        upsampled = [resize(each, full, self.align_corners) for each in maps]
        return torch.stack(upsampled).amax(0), upsampled

    def forward(self, image: Image) -> Logits:
        return self._fuse(self._maps(image))[0]

    def supervised(self, image: Image) -> list[Tensor]:
        """The fused map, then the map of each scale, largest first.

        Under ``msc_loss="full_map"`` a scale that divides the size exactly (0.5) is compared with the labels at its own
        size; any other (0.75) is upsampled to the full map first, as in the released nets.
        """
        maps = self._maps(image)
        fused, upsampled = self._fuse(maps)
        exact = [self.msc_loss == "own_map" or (1 / scale).is_integer() for scale in self.scales]
        return [fused] + [own if e else up for own, up, e in zip(maps, upsampled, exact, strict=True)]

    def scores(self, image: Image) -> Tensor:
        """Class scores for every pixel of the image, in single precision."""
        return resize(self(image).float(), (image.shape[-2], image.shape[-1]), self.align_corners)

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the new classifier layers."""
        return self.network.new_parameters()

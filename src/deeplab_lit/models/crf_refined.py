"""A network whose last layer is the dense CRF, trained end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from deeplab_lit.crf.layer import CRFLayer
from deeplab_lit.models.deeplab import DeepLab, Image
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.models.resize import resize


class RefinedByCRF(nn.Module):
    """A network whose upsampled scores are refined by the mean field of a dense CRF.

    Args:
        network: its scores are the unary potentials.
        crf: the CRF layer; the weights of its kernels are trained as new parameters.
        mean, std, bgr: the normalisation of the network's input, which is undone for the CRF.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: DeepLab | MultiScaleInput,
        crf: CRFLayer,
        mean: Sequence[float],
        std: Sequence[float],
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.crf, self.align_corners = network, crf, network.align_corners
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self._bgr = bgr

    def forward(self, image: Image) -> Tensor:
        """Logarithms of the marginals (N, C, H, W) at every pixel, in single precision."""
        return self.scores(image)

    def scores(self, image: Image) -> Tensor:
        """The same as :meth:`forward`."""
        return self.crf(self._bytes(image), self.network.scores(image))

    def supervised(self, image: Image) -> list[Tensor]:
        """The refined scores at full resolution; under multi-scale inputs also the map of each scale."""
        fused, *scales = self.network.supervised(image)
        size = (image.shape[-2], image.shape[-1])
        return [self.crf(self._bytes(image), resize(fused.float(), size, self.align_corners)), *scales]

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the new classifier layers, and the CRF's."""
        yield from self.network.new_parameters()
        yield from self.crf.parameters()

    def _bytes(self, image: Tensor) -> Tensor:
        rgb = image.flip(1) if self._bgr else image
        return (rgb.float() * self.std + self.mean).round().clamp(0, 255)

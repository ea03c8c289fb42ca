"""The papers' trunks, re-purposed from image classification (V2, section 4.1).

A trunk is a module that maps images (N, 3, H, W) to features (N, C, h, w). It has two attributes: ``channels`` (C) and
``output_stride`` (image pixels for one feature pixel). Parameter names are torchvision's.
"""

from __future__ import annotations

from typing import Any, Literal

import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from deeplab_lit.models.atrous import dilate
from deeplab_lit.models.norm import freeze_norm

StrideOn = Literal["1x1", "3x3"]


class ResNet(nn.Module):
    """ResNet without its pooling and classifier, at any output stride.

    Args:
        depth: 18, 34, 50, 101 or 152.
        output_stride: image pixels for one feature pixel, 8 in the papers.
        stride_on: the convolution of a bottleneck that carries the stride: ``"1x1"`` (the first one) in the released
            nets, ``"3x3"`` in torchvision. ResNet-18 and 34 have no bottleneck.
        ceil_mode: the first max pooling rounds map sizes up, as Caffe does.
        frozen_norm: batch normalisation with frozen statistics, as the papers have it with a pretrained trunk.
        frozen_affine: with ``frozen_norm``, scale and shift are frozen too, as in the papers.
        norm_momentum: weight of each batch in the running statistics of trained batch normalisation. Small batches of
            crops with padding need less than PyTorch's 0.1, with which the last few batches determine the statistics.

    Attributes:
        torchvision_name: torchvision's name of the classifier whose weights fit.
        tap_channels, tap_strides: width and stride of the maps that :meth:`forward_taps` gives.

    Raises:
        ValueError: for a depth or a ``stride_on`` that does not exist.
    """

    def __init__(
        self,
        depth: int = 101,
        output_stride: int = 8,
        stride_on: StrideOn = "1x1",
        ceil_mode: bool = True,
        frozen_norm: bool = False,
        frozen_affine: bool = True,
        norm_momentum: float = 0.02,
    ) -> None:
        super().__init__()
        if depth not in (18, 34, 50, 101, 152):
            raise ValueError(f"depth={depth} is no ResNet: choose 18, 34, 50, 101 or 152.")
        if stride_on not in ("1x1", "3x3"):
            raise ValueError(f"stride_on={stride_on!r} is not known: choose '1x1' (released) or '3x3' (torchvision).")
        net = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        self.conv1, self.bn1, self.relu = net.conv1, net.bn1, net.relu
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=ceil_mode)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        if depth >= 50 and stride_on == "1x1":
            for layer in (self.layer2, self.layer3, self.layer4):
                layer[0].conv1.stride, layer[0].conv2.stride = layer[0].conv2.stride, layer[0].conv1.stride
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = norm_momentum
        if frozen_norm:
            freeze_norm(self, frozen_affine)
        self.torchvision_name = f"resnet{depth}"
        self.channels: int = net.fc.in_features
        self.output_stride = output_stride
        dilate(self, output_stride)
        width = self.channels // 8
        self.tap_channels = (3, 64, width, 2 * width, 4 * width)
        self.tap_strides = tuple(min(stride, output_stride) for stride in (1, 2, 4, 8, 16))

    def forward(self, image: Float[Tensor, "batch bands height width"]) -> Float[Tensor, "batch channels h w"]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward_taps(self, image: Float[Tensor, "batch bands height width"]) -> tuple[Tensor, list[Tensor]]:
        """The features, and the maps for V1's multi-scale features: the image, outputs of the stem and three stages."""
        taps = [image, self.relu(self.bn1(self.conv1(image)))]
        x = self.maxpool(taps[1])
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
            taps.append(x)
        return self.layer4(x), taps


class VGG16(nn.Module):
    """VGG-16 up to its last pooling, at any output stride.

    Args:
        output_stride: image pixels for one feature pixel, 8 in the papers: the last two poolings have stride 1, conv5
            has holes.
        pool_size: 3 for the released nets' 3x3 poolings with padding 1, 2 for the original 2x2 ones.
        ceil_mode: poolings round map sizes up, as Caffe does.

    Attributes:
        torchvision_name: torchvision's name of the classifier whose weights fit.
        tap_channels, tap_strides: width and stride of the maps that :meth:`forward_taps` gives.

    Raises:
        ValueError: for a pool size other than 2 or 3.
    """

    tap_channels = (3, 64, 128, 256, 512)
    torchvision_name = "vgg16"

    def __init__(self, output_stride: int = 8, pool_size: int = 3, ceil_mode: bool = True) -> None:
        super().__init__()
        if pool_size not in (2, 3):
            raise ValueError(f"pool_size={pool_size} is not known: choose 3 (released nets) or 2 (ImageNet's VGG).")
        self.features: nn.Sequential = torchvision.models.vgg16(weights=None, init_weights=True).features
        self._pools = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        for i in self._pools:
            self.features[i] = nn.MaxPool2d(pool_size, stride=2, padding=pool_size // 3, ceil_mode=ceil_mode)
        self.channels = 512
        self.output_stride = output_stride
        dilate(self, output_stride, dilate_pools=False)
        strides = [1, 2, 4, 8, 16]
        self.tap_strides = tuple(min(stride, output_stride) for stride in strides)

    def forward(self, image: Float[Tensor, "batch bands height width"]) -> Float[Tensor, "batch 512 h w"]:
        return self.features(image)

    def forward_taps(self, image: Float[Tensor, "batch bands height width"]) -> tuple[Tensor, list[Tensor]]:
        """The features, and the maps of V1's multi-scale features: the image and pool1 to pool4 (V1, section 4.3)."""
        taps: list[Any] = [image]
        x = image
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self._pools[:4]:
                taps.append(x)
        return x, taps

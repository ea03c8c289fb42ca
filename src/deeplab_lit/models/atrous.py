"""Atrous convolution: holes in the filters of any trunk (V2, section 3.1).

A classification trunk reduces its resolution in several layers. :func:`dilate` finds the layers that exceed the wanted
output stride, sets their stride to 1 and gives every later layer holes. The dense output equals the original output at
every position that the original output has.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Literal, Protocol, TypeVar, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deeplab_lit.models.depthwise import depthwise_conv2d, widely_padded_conv2d

Trunk = TypeVar("Trunk", bound=nn.Module)
Realisation = Literal["auto", "holes", "interlace"]
_RESAMPLING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_PROBE_SIZE = 512


class FoldedNorm(Protocol):
    """A normalisation that can be folded into the filters of the convolution before it."""

    @property
    def is_folded(self) -> bool:
        """Whether it is folded now."""

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Filters and bias of the convolution and the normalisation together."""


class AtrousConv2d(nn.Conv2d):
    """A convolution with holes, in either of the two realisations of the paper (V2, section 3.1).

    ``realisation="holes"`` spreads the filter taps over the input. ``"interlace"`` subsamples the input into
    ``rate * rate`` maps, convolves those densely and interlaces the results. ``"auto"`` takes the faster way: holes,
    and for depthwise layers on a CPU :mod:`deeplab_lit.models.depthwise`. The outputs are equal.
    ``end_padding`` pads only the bottom and the right side, which keeps the map size under even kernels. Batch
    normalisation with frozen statistics that follows can be folded into the filters:
    :func:`deeplab_lit.models.folding.fold_norms`.
    """

    realisation: Realisation = "auto"
    end_padding: int = 0
    norm: tuple[FoldedNorm, ...] = ()  # in a tuple, so that PyTorch does not register it as a submodule
    # folded filters of earlier passes, by the mode of autograd; None: none are kept
    kept: dict[tuple[bool, bool], tuple[Tensor, Tensor | None]] | None = None

    def forward(
        self, input: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch filters new_height new_width"]:
        x = F.pad(input, (0, self.end_padding, 0, self.end_padding)) if self.end_padding else input
        weight, bias = self._filters()
        if self.realisation == "interlace" and max(self.dilation) > 1:
            return self._interlaced(x, weight, bias)
        if self.realisation != "auto" or not self._is_slow_here(x):
            return self._conv_forward(x, weight, bias)
        if torch.is_grad_enabled() and self.weight.dtype is torch.float32:
            y = depthwise_conv2d(x, weight, *_geometry(self))
            return y if bias is None else y + bias.to(y.dtype)[:, None, None]
        return widely_padded_conv2d(x, weight, bias, *_geometry(self))

    def _filters(self) -> tuple[Tensor, Tensor | None]:
        """Filters and bias, with the normalisation that is folded into them; kept ones, if they are kept."""
        if self.kept is None or torch.compiler.is_compiling() or not any(norm.is_folded for norm in self.norm):
            return self._folded()
        mode = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        if mode not in self.kept:
            self.kept[mode] = self._folded()
        return self.kept[mode]

    def _folded(self) -> tuple[Tensor, Tensor | None]:
        weight, bias = self.weight, self.bias
        for norm in self.norm:
            if norm.is_folded:
                weight, bias = norm.folded(weight, bias)
        return weight, bias

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": None}  # a copy has weights of its own

    def _is_slow_here(self, x: Tensor) -> bool:
        depthwise = self.groups == self.in_channels == self.out_channels > 1
        plain = not isinstance(self.padding, str) and self.padding_mode == "zeros"
        return depthwise and plain and x.device.type == "cpu" and not torch.compiler.is_compiling()

    def _interlaced(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(self.padding, str) or self.padding_mode != "zeros" or set(self.stride) != {1}:
            raise ValueError(
                f"realisation='interlace' needs stride 1 and numeric zero padding, not stride={self.stride}, "
                f"padding={self.padding!r}, padding_mode={self.padding_mode!r}; use realisation='holes'."
            )
        (pad_y, pad_x), (rate_y, rate_x) = self.padding, self.dilation
        batch, channels, height, width = x.shape
        out_height = height + 2 * pad_y - rate_y * (self.kernel_size[0] - 1)
        out_width = width + 2 * pad_x - rate_x * (self.kernel_size[1] - 1)
        # the padded map is extended to a multiple of the rate; the added outputs are cut off at the end
        spare_y = -(height + 2 * pad_y) % rate_y
        spare_x = -(width + 2 * pad_x) % rate_x
        x = F.pad(x, (pad_x, pad_x + spare_x, pad_y, pad_y + spare_y))
        rows, columns = x.shape[2] // rate_y, x.shape[3] // rate_x
        x = x.view(batch, channels, rows, rate_y, columns, rate_x).permute(0, 3, 5, 1, 2, 4)
        x = x.reshape(batch * rate_y * rate_x, channels, rows, columns)
        x = F.conv2d(x, weight, groups=self.groups)
        if bias is not None:
            x = x + bias[:, None, None]
        filters, rows, columns = x.shape[1:]
        x = x.view(batch, rate_y, rate_x, filters, rows, columns).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(batch, filters, rows * rate_y, columns * rate_x)[..., :out_height, :out_width]

    @classmethod
    def sharing(cls, conv: nn.Conv2d) -> AtrousConv2d:
        """An atrous convolution that shares the parameters of ``conv``."""
        with torch.device("meta"):
            new = cls(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,  # type: ignore[arg-type]
                stride=conv.stride,  # type: ignore[arg-type]
                padding=conv.padding,  # type: ignore[arg-type]
                dilation=conv.dilation,  # type: ignore[arg-type]
                groups=conv.groups,
                bias=conv.bias is not None,
                padding_mode=conv.padding_mode,
            )
        new.weight, new.bias = conv.weight, conv.bias
        return new.train(conv.training)


class AtrousAvgPool2d(nn.Module):
    """Average pooling with holes: the mean of the taps that lie inside the map.

    Args:
        pool: the pooling layer whose kernel size is taken.
        stride: the stride of the outputs.
        rate: the rate of the holes.
        padding: zeros around the map; they count in the mean if they count in ``pool``.
        end: further padding below and to the right, which never counts.
    """

    def __init__(self, pool: nn.AvgPool2d, stride: int, rate: int, padding: tuple[int, int], end: int) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.rate = _pair(pool.kernel_size), stride, rate
        self.padding, self.end = padding, end
        self.count_padding = pool.count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        ones = input.new_ones((1, 1, *input.shape[2:]))
        top, left = self.padding
        ones = F.pad(ones, (left, left, top, top), value=float(self.count_padding))
        ones = F.pad(ones, (0, self.end, 0, self.end))
        x = F.pad(input, (left, left + self.end, top, top + self.end))
        return self._sum(x) / self._sum(ones)

    def _sum(self, x: Tensor) -> Tensor:
        height, width = (x.shape[2 + i] - self.rate * (self.kernel_size[i] - 1) for i in (0, 1))
        taps = [
            x[
                :,
                :,
                i * self.rate : i * self.rate + height : self.stride,
                j * self.rate : j * self.rate + width : self.stride,
            ]
            for i in range(self.kernel_size[0])
            for j in range(self.kernel_size[1])
        ]
        return torch.stack(taps).sum(0)


def _geometry(conv: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    assert not isinstance(conv.padding, str)
    return _pair(conv.stride), _pair(conv.padding), _pair(conv.dilation)


class AtrousMaxPool2d(nn.MaxPool2d):
    """Max pooling with holes and padding ``edges`` (left, right, top, bottom) wider than PyTorch's half a kernel."""

    edges: tuple[int, int, int, int] = (0, 0, 0, 0)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self.edges, value=-math.inf))


def set_realisation(module: nn.Module, realisation: Realisation) -> None:
    """Choose how every :class:`AtrousConv2d` inside ``module`` computes; raises ValueError for an unknown name."""
    if realisation not in get_args(Realisation):
        raise ValueError(f"atrous={realisation!r} is not known: choose one of {', '.join(get_args(Realisation))}.")
    for layer in module.modules():
        if isinstance(layer, AtrousConv2d):
            layer.realisation = realisation


def dilate(trunk: Trunk, output_stride: int, *, dilate_pools: bool = True) -> Trunk:
    """Bring a trunk to ``output_stride`` in place, keeping its parameters, and return it.

    Layers whose output would be coarser than ``output_stride`` get stride 1. All layers after them get holes at the
    rate of the removed strides. The result at every ``k``-th position equals the original output, where ``k`` is the
    product of the removed strides.

    Args:
        trunk: maps images (N, 3, H, W) to features (N, C, h, w); its native stride is a power of two.
        output_stride: image pixels for one feature pixel, a power of two.
        dilate_pools: give pooling layers holes too. The released VGG nets do not.

    Raises:
        ValueError: the stride is no power of two, or a layer cannot have holes; the message says which, and why.
    """
    if output_stride < 1 or output_stride & (output_stride - 1):
        raise ValueError(f"output_stride={output_stride} is not a power of two: use 1, 2, 4, 8, 16 or 32.")
    for name, (before, after) in layer_strides(trunk).items():
        layer = trunk.get_submodule(name)
        stride, factor = (
            min(after, output_stride) // min(before, output_stride),
            max(1, before // output_stride),
        )
        if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
            new = _widen_pool(name, layer, stride, factor if dilate_pools else 1)
        else:
            assert isinstance(layer, nn.Conv2d)
            new = _widen_conv(name, layer, stride, factor)
        if new is not layer:
            _replace(trunk, name, new)
    return trunk


def layer_strides(trunk: nn.Module, channels: int = 3) -> dict[str, tuple[int, int]]:
    """The stride of the input and of the output of every convolution and pooling layer, by its dotted name.

    They are found by a forward pass on the meta device, which handles branches and reused blocks.
    """
    probe = copy.deepcopy(trunk).to("meta").eval()
    strides: dict[str, tuple[int, int]] = {}

    def hook(name: str, layer: nn.Module) -> None:
        def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found = _stride_of(inputs[0]), _stride_of(output)
            if strides.setdefault(name, found) != found:
                raise ValueError(f"layer {name!r} runs at two resolutions and cannot be given one set of holes.")

        layer.register_forward_hook(record)

    for name, layer in probe.named_modules():
        if isinstance(layer, _RESAMPLING):
            hook(name, layer)
    dtype = next((weight.dtype for weight in probe.parameters()), None)
    with torch.no_grad():
        probe(torch.empty(1, channels, _PROBE_SIZE, _PROBE_SIZE, device="meta", dtype=dtype))
    return strides


def _stride_of(x: Tensor) -> int:
    # padding and ceil-mode pooling make the ratio of map sizes differ a little from a power of two
    return int(2 ** round(math.log2(_PROBE_SIZE / x.shape[-1])))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _size_keeping_padding(name: str, kernel: tuple[int, int], padding: tuple[int, int], factor: int) -> int:
    """Bottom and right padding that keeps the map size when an even kernel loses its stride; 0 for odd kernels."""
    if kernel[0] % 2 and kernel[1] % 2:
        return 0
    if kernel[0] != kernel[1] or padding != (0, 0):
        raise ValueError(
            f"layer {name!r} (kernel {kernel}, padding {padding}) would move the map when it loses its stride: "
            "only square even kernels without padding can; ask for a larger output_stride."
        )
    return (kernel[0] - 1) * factor


def _widen_pool(name: str, pool: nn.MaxPool2d | nn.AvgPool2d, stride: int, factor: int) -> nn.Module:
    kernel, padding = _pair(pool.kernel_size), _pair(pool.padding)
    removed = _pair(pool.stride) != (stride, stride)
    if not removed and factor == 1:
        return pool
    end = _size_keeping_padding(name, kernel, padding, factor) if removed else 0
    if isinstance(pool, nn.AvgPool2d):
        if pool.divisor_override is not None:
            raise ValueError(f"average pooling {name!r} has a divisor of its own: ask for a larger output_stride.")
        return AtrousAvgPool2d(pool, stride, factor, (padding[0] * factor, padding[1] * factor), end)
    rate = tuple(old * factor for old in _pair(pool.dilation))
    new = AtrousMaxPool2d(kernel, stride, padding=0, dilation=rate, ceil_mode=pool.ceil_mode)
    top, left = padding[0] * factor, padding[1] * factor
    new.edges = (left, left + end, top, top + end)
    return new


def _widen_conv(name: str, conv: nn.Conv2d, stride: int, factor: int) -> nn.Module:
    kernel, removed = _pair(conv.kernel_size), conv.stride != (stride, stride)
    if kernel == (1, 1) or (factor == 1 and not removed):
        conv.stride = (stride, stride)
        return conv
    if isinstance(conv.padding, str):
        raise ValueError(f"layer {name!r} has padding={conv.padding!r}: give it as numbers.")
    end = _size_keeping_padding(name, kernel, _pair(conv.padding), factor) if removed else 0
    conv.stride = (stride, stride)
    conv.dilation = tuple(rate * factor for rate in conv.dilation)
    conv.padding = tuple(pad * factor for pad in conv.padding)
    # a convolution of a class of the trunk's own keeps its class and gets holes
    if type(conv) is not nn.Conv2d or (factor == 1 and not end):
        return conv
    new = AtrousConv2d.sharing(conv)
    new.end_padding = end
    return new


def _replace(root: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, new)

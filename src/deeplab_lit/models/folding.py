"""Folding of batch normalisation with frozen statistics into the filters of the convolution before it.

With frozen statistics, batch normalisation is a scale ``s`` and a shift for each channel, so that a convolution with
the filters ``W * s`` computes both layers. The trained parameter is still ``W``, with its own learning rate and weight
decay. Folding saves the time and the memory of a separate normalised map.

The product is computed in every pass, from constants that are computed once. Passes that share their weights, such as
those of a validation, can share the product too: :func:`folded_once` and :func:`keep_folded`.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deeplab_lit.models.atrous import AtrousConv2d
from deeplab_lit.models.computed_once import ComputedOnce
from deeplab_lit.models.input_channels import input_channels
from deeplab_lit.models.norm import FrozenBatchNorm2d

Trunk = TypeVar("Trunk", bound=nn.Module)
_PROBE_SIZE = 256


class FoldableBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that can be folded into the filters before it while its statistics are frozen."""

    folding: bool = True  # False: it is not folded
    absorbed: bool = False  # it is folded permanently: the weights of the filters before it include it
    statistics: ComputedOnce  # what frozen statistics alone determine
    line: ComputedOnce  # scale and shift, where scale and shift are frozen too
    given: tuple[Tensor, Tensor] | None = None  # scale and shift, computed with those of other layers for this pass

    @property
    def is_folded(self) -> bool:
        """Whether it is folded now: in evaluation mode, or with frozen statistics."""
        return self.absorbed or (self.folding and not self.training and self.running_mean is not None)

    @property
    def trains_line(self) -> bool:
        """Whether it is folded now, with frozen statistics, and has a scale and a shift that are trained."""
        frozen = isinstance(self, FrozenBatchNorm2d) and self.is_folded and not self.absorbed
        return frozen and all(each is not None and each.requires_grad for each in (self.weight, self.bias))

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Filters (out, in, h, w) and bias (out,) of the convolution and this normalisation together."""
        mean, variance = self.running_mean, self.running_var
        if self.given is not None:
            scale, shift = self.given
        elif not isinstance(self, FrozenBatchNorm2d):  # PyTorch does not count the changes of statistics in training
            scale, shift = self._scale_and_shift(bias, *self.standardisation())
        elif bias is None and not any(each.requires_grad for each in self.parameters(recurse=False)):
            compute = lambda: self._scale_and_shift(None, *self.standardisation())  # noqa: E731
            scale, shift = self.line.of(compute, mean, variance, self.weight, self.bias)
        else:
            scale, shift = self._scale_and_shift(bias, *self.statistics.of(self.standardisation, mean, variance))
        return weight * scale[:, None, None, None], shift

    def standardisation(self) -> tuple[Tensor, Tensor]:
        """The inverse of the standard deviation, and the negated mean; (out,) each."""
        assert self.running_mean is not None and self.running_var is not None
        return torch.rsqrt(self.running_var + self.eps), -self.running_mean

    def _scale_and_shift(self, bias: Tensor | None, inverse: Tensor, negated: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift (out,) of each channel, of a convolution without its ``bias``."""
        scale = inverse if self.weight is None else inverse * self.weight
        shift = (negated if bias is None else bias + negated) * scale
        return scale, shift if self.bias is None else shift + self.bias

    def forward(self, input: Tensor) -> Tensor:
        if not self.is_folded:
            return super().forward(input)
        if hasattr(self, "act") and hasattr(self, "drop"):  # timm's class, which includes an activation
            return self.act(self.drop(input))  # type: ignore[operator]
        return input


def fold_norms(trunk: Trunk) -> Trunk:
    """Make every batch normalisation of ``trunk`` that directly follows a convolution foldable, in place.

    The pairs are found by a forward pass on the meta device, which works for any network. A network that has no such
    pass is left unchanged, and so is a convolution whose map has other readers than its normalisation. Parameters,
    their names, the modules that hooks belong to, and the output do not change.

    Args:
        trunk: maps images (N, C, H, W) to features.
    """
    for conv, norm in _pairs(trunk).items():
        layer, after = trunk.get_submodule(conv), trunk.get_submodule(norm)
        assert isinstance(layer, nn.Conv2d)
        layer.__class__ = AtrousConv2d
        layer.norm = (after,)  # type: ignore[assignment]
        after.__class__ = _foldable(type(after))  # type: ignore[arg-type]
        after.statistics, after.line = ComputedOnce(), ComputedOnce()  # type: ignore[assignment]
    return trunk


def set_folding(module: nn.Module, folding: bool) -> None:
    """Turn folding on (True) or off for every foldable normalisation inside a module."""
    for layer in module.modules():
        if isinstance(layer, FoldableBatchNorm2d):
            layer.folding = folding


def keep_folded(network: nn.Module, keep: bool) -> None:
    """Keep filters from the next pass on, in which they are folded (True), or drop those that are kept (False).

    While they are kept, weights must not change, except before the first pass. Passes with gradients, without
    gradients and in inference mode have filters of their own.
    """
    for layer in network.modules():
        if isinstance(layer, AtrousConv2d) and layer.norm:
            layer.kept = {} if keep else None


@contextmanager
def folded_once(network: nn.Module) -> Iterator[None]:
    """A context whose passes share their folded filters, as :func:`keep_folded` describes.

    Filters that are kept already stay so, also after it.
    """
    convs = [layer for layer in network.modules() if isinstance(layer, AtrousConv2d) and layer.norm]
    layers = [layer for layer in convs if layer.kept is None]
    for layer in layers:
        layer.kept = {}
    try:
        yield
    finally:
        for layer in layers:
            layer.kept = None


def folds(network: nn.Module) -> bool:
    """Whether a normalisation inside ``network`` is folded now, in each pass."""
    return any(isinstance(layer, FoldableBatchNorm2d) and layer.is_folded and not layer.absorbed
               for layer in network.modules())  # fmt: skip


def folded_for_good(network: Trunk) -> Trunk:
    """A copy of ``network`` for inference, with foldable normalisations folded into its weights permanently."""
    network = copy.deepcopy(network).eval()
    for conv in network.modules():
        if isinstance(conv, AtrousConv2d) and any(norm.is_folded for norm in conv.norm):
            weight, bias = conv.weight, conv.bias
            for norm in conv.norm:
                weight, bias = norm.folded(weight, bias)
                assert isinstance(norm, FoldableBatchNorm2d)
                norm.absorbed, norm.track_running_stats = True, False
                for name in (*norm._parameters, *norm._buffers):
                    setattr(norm, name, None)
            conv.norm = ()
            conv.weight = nn.Parameter(weight.detach())
            conv.bias = None if bias is None else nn.Parameter(bias.detach())
    return network


@functools.cache
def _foldable(kind: type[nn.BatchNorm2d]) -> type[nn.BatchNorm2d]:
    if issubclass(kind, FoldableBatchNorm2d):
        return kind
    return type(f"Foldable{kind.__name__}", (FoldableBatchNorm2d, kind), {})


def _pairs(trunk: nn.Module) -> dict[str, str]:
    """Names of convolutions, each with the name of the normalisation that is the only reader of its map."""
    probe = copy.deepcopy(trunk).to("meta").eval()
    uses = _Uses()
    made: dict[int, str] = {}  # the convolution that computed a map, by the map's id
    read: dict[str, str] = {}
    passes: dict[str, int] = {}
    kept: list[Tensor] = []  # keeps each map alive, so that no other gets its id

    def after(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            passes[name] = passes.get(name, 0) + 1
            made[id(output)] = name
            uses.counts[id(output)] = 0  # a count of an earlier tensor with the same id
            kept.append(output)

        return hook

    def before(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            passes[name] = passes.get(name, 0) + 1
            if inputs and id(inputs[0]) in made:
                read[made[id(inputs[0])]] = name

        return hook

    for name, layer in probe.named_modules():
        if type(layer) in (nn.Conv2d, AtrousConv2d):
            layer.register_forward_hook(after(name))
        elif isinstance(layer, nn.BatchNorm2d) and _is_understood(layer):
            layer.register_forward_pre_hook(before(name))
    dtype = next((weight.dtype for weight in probe.parameters()), None)
    try:
        with torch.no_grad(), uses:
            probe(torch.empty(1, input_channels(trunk), _PROBE_SIZE, _PROBE_SIZE, device="meta", dtype=dtype))
    except Exception:  # a network may raise any error here; it is left unchanged
        return {}
    maps = {name: id for id, name in made.items()}
    return {
        conv: norm
        for conv, norm in read.items()
        if passes[conv] == passes[norm] == 1 and uses.counts.get(maps[conv]) == 1
    }


def _is_understood(norm: nn.BatchNorm2d) -> bool:
    """Whether the class is known: PyTorch's batch normalisation, or timm's with dropout and activation."""
    own = type(norm).forward in (nn.BatchNorm2d.forward, FoldableBatchNorm2d.forward)
    return own or type(norm).__name__.endswith("BatchNormAct2d")


class _Uses(TorchFunctionMode):
    """Counts the functions that read each tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[int, int] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(function, "__name__", "") not in ("__get__", "dim", "size"):  # reading the shape is not a use
            for value in (*args, *(kwargs or {}).values()):
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    if isinstance(each, Tensor):
                        self.counts[id(each)] = self.counts.get(id(each), 0) + 1
        return function(*args, **(kwargs or {}))

"""Analysis of a network: operations, memory and field of view, from tensor shapes on PyTorch's meta device."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from deeplab_lit.models.atrous import set_realisation
from deeplab_lit.models.input_channels import input_channels
from deeplab_lit.models.network import Network, deeplab_of

_aten: Any = torch.ops.aten
_NATIVE_STRIDE = 32  # of the classification trunks


class _FieldOfView(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks the field of view of a value and the distance of neighbouring values, in pixels, through operations."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = [image]  # keeps the tensor alive, since another tensor could get the id of a freed one
        self.extent: dict[int, tuple[float, float]] = {id(image): (1.0, 1.0)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        flat = [each for arg in args for each in (arg if isinstance(arg, (list, tuple)) else [arg])]
        known = [self.extent[id(each)] for each in flat if isinstance(each, Tensor) and id(each) in self.extent]
        if not known:
            return result
        field, step = max(each[0] for each in known), max(each[1] for each in known)
        if func is _aten.convolution.default:
            kernel, stride, rate = args[1].shape[2:], args[3], args[5]
            field, step = _wider(field, step, kernel, stride, rate)
        elif func is _aten.max_pool2d_with_indices.default:
            rate = args[5 - 1] if len(args) > 4 else [1]
            field, step = _wider(field, step, args[1], (args[2] if len(args) > 2 and args[2] else args[1]), rate)
        elif func is _aten.avg_pool2d.default:
            field, step = _wider(field, step, args[1], (args[2] if len(args) > 2 and args[2] else args[1]), [1])
        elif func is _aten.upsample_bilinear2d.default:
            factor = args[0].shape[-1] / result.shape[-1]
            field, step = field + step, step * factor
        for each in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(each, Tensor):
                self._kept.append(each)
                self.extent[id(each)] = field, step
        return result


def _wider(field: float, step: float, kernel: Any, stride: Any, rate: Any) -> tuple[float, float]:
    reach = max((k - 1) * rate[min(i, len(rate) - 1)] for i, k in enumerate(kernel))
    return field + reach * step, step * max(stride)


def _image(network: nn.Module, batch: int, size: int) -> Tensor:
    return torch.empty(batch, input_channels(network), size, size, device="meta")


def _on_meta(network: nn.Module) -> Any:
    probe = copy.deepcopy(network).to("meta")
    set_realisation(probe, "holes")  # both realisations have the same field of view
    return probe


def field_of_view(network: nn.Module, size: int = 513) -> int:
    """The theoretical field of view: the side, in pixels, of the square of the input that one score depends on.

    Args:
        network: from images (N, C, H, W) to score maps.
        size: side of the probed image, pixels; it matters only where map sizes are rounded.
    """
    image = _image(network, 1, size)
    with torch.no_grad(), _FieldOfView(image) as mode:
        scores = _on_meta(network).eval()(image)
    return round(mode.extent[id(scores)][0])


def head_field_of_view(network: Network, output_stride: int) -> int:
    """The field of view as the paper's Table 1 counts it: that of the widest classifier kernel on the trunk's features.

    Each feature counts as a cell of the trunk's native stride, 32 pixels (V2, section 4.1.1).
    """
    head = parts_of(network)["head"]
    reach = [
        (layer.kernel_size[0] - 1) * layer.dilation[0]
        for name, layer in head.named_modules()
        if isinstance(layer, nn.Conv2d) and not name.startswith("taps.")
    ]
    return max(reach) * output_stride + _NATIVE_STRIDE


def map_side(side: int, output_stride: int) -> int:
    """The side of the map of a square image whose side is ``side`` pixels, where a trunk rounds map sizes up."""
    return -(-(side - 1) // output_stride) + 1


def padding_shares(head: nn.Module, map_size: int) -> dict[str, float]:
    """The share of the taps of each atrous convolution that lie in the padding of a square map, by the layer's name."""
    found = {}
    for name, layer in head.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.dilation[0] > 1:
            centre = (layer.kernel_size[0] - 1) / 2
            offsets = [abs(round((i - centre) * layer.dilation[0])) for i in range(layer.kernel_size[0])]
            inside = sum(max(0, map_size - offset) for offset in offsets) / (map_size * len(offsets))
            found[name] = 1 - inside**2
    return found


def parts_of(network: Network) -> dict[str, nn.Module]:
    """The trunk and the head."""
    inner = deeplab_of(network)
    return {"trunk": inner.trunk, "head": inner.head}


def flops(network: Network, size: int) -> dict[str, int]:
    """Floating-point operations of a forward pass of one image; a multiplication and an addition are two operations.

    Args:
        network: its convolutions are counted.
        size: pixels a side.

    Returns:
        The operations of each part over all scales of the input, and their sum as ``"total"``.
    """
    probe = _on_meta(network).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        probe(_image(network, 1, size))
    counts = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    total, head = counter.get_total_flops(), sum(n for name, n in counts.items() if name.endswith(".head"))
    return {
        "trunk": total - head,
        "head": head,
        "total": total,
    }  # a trunk with taps is not called as a module


def saved_for_backward(
    network: Network, size: int, batch: int, loss: Callable[[list[Tensor]], Tensor]
) -> dict[str, int]:
    """Bytes of the activations that a training step in float32 keeps for its backward pass.

    Args:
        network: in any mode; it is measured in training mode.
        size: side of the crop, pixels.
        batch: the number of images.
        loss: maps the score maps of training to a number.

    Returns:
        The bytes of each part; those of neither trunk nor head (resizing, the loss) are ``"loss"``.
    """
    probe = _on_meta(network).train()
    own = {each.untyped_storage()._cdata for each in (*probe.parameters(), *probe.buffers())}
    bytes_of, seen, kept, inside = {"trunk": 0, "head": 0, "loss": 0}, set(own), [], ["loss"]

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            kept.append(storage)  # keeps the storage alive, since another one could get the address of a freed one
            bytes_of[inside[-1]] += storage.nbytes()
        return x

    for name, part in parts_of(probe).items():
        part.register_forward_pre_hook(lambda *_, name=name: inside.append(name))
        part.register_forward_hook(lambda *_: (inside.pop(), None)[1])
        if hasattr(part, "forward_taps"):
            part.forward_taps = _inside(part.forward_taps, inside, name)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss(probe.supervised(_image(network, batch, size)))
    return bytes_of


def _inside(method: Any, inside: list[str], name: str) -> Any:
    def call(*arguments: Any) -> Any:
        inside.append(name)
        try:
            return method(*arguments)
        finally:
            inside.pop()

    return call

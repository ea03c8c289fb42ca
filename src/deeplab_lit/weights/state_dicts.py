"""State dicts of other code bases: torchvision's classifiers, and the common PyTorch DeepLab V2."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torchvision
from torch import Tensor

from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.heads import ASPP
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.foreign import Foreign, aspp, resnet, vgg16

_WRAPPERS = ("module.", "base.", "scale.")
_UNITS = {"reduce": ("conv1", "bn1"), "conv3x3": ("conv2", "bn2"), "increase": ("conv3", "bn3")}
_SHORTCUT = ("downsample.0", "downsample.1")
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """A known layout: ``expected`` are the shapes of the tensors in a file with ``classes`` classes."""

    name: str
    expected: Callable[[int], Shapes]
    classes: Callable[[Mapping[str, Tensor]], int]
    convert: Callable[[dict[str, Tensor], bool], Foreign]


def convert_state_dict(state: Mapping[str, Tensor], source: str) -> Foreign:
    """Recognise a state dict by its names and shapes, and convert it to this library's names.

    Args:
        state: tensors by name; all names may have the prefixes of wrappers (``module.``, ``base.``).
        source: the name of the file, for messages.

    Raises:
        UserError: no known layout fits completely; the message says what was found and what the nearest one lacks.
    """
    names, multi_scale = _unwrapped(state)
    names = {name: value for name, value in names.items() if not name.endswith("num_batches_tracked")}
    layouts = known()
    overlap = {layout.name: len(layout.expected(0).keys() & names.keys()) for layout in layouts}
    nearest = max(layouts, key=lambda layout: (overlap[layout.name], -len(layout.expected(0))))
    expected = nearest.expected(nearest.classes(names)) if overlap[nearest.name] else {}
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    other = [name for name in expected if name in names and tuple(names[name].shape) != expected[name]]
    if not expected or missing or extra or other:
        raise UserError(
            _difference(state, source, nearest.name if expected else None, names, expected, missing, extra, other)
        )
    return nearest.convert(names, multi_scale)


def _unwrapped(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The names without their common prefixes, and whether a prefix is that of multi-scale inputs."""
    names, multi_scale = dict(state), False
    for prefix in _WRAPPERS * 2:
        if names and all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): value for name, value in names.items()}
            multi_scale |= prefix != "module."
    return names, multi_scale


def _difference(
    state: Mapping[str, Tensor], source: str, nearest: str | None, names: Mapping[str, Tensor], expected: Shapes,
    missing: list[str], extra: list[str], other: list[str],
) -> str:  # fmt: skip
    first = ", ".join(f"{name} {tuple(value.shape)}" for name, value in list(state.items())[:4])
    found = f"{source} holds {len(state)} tensors that begin with {first or 'nothing'}."
    if nearest is None:
        return f"{found} No layout that is known has such names: {', '.join(layout.name for layout in known())}."
    parts = []
    if missing:
        parts.append(f"{len(missing)} are missing ({_some(missing)})")
    if extra:
        parts.append(f"{len(extra)} have no place ({_some(extra)})")
    if other:
        shapes = [f"{name} {tuple(names[name].shape)} for {expected[name]}" for name in other]
        parts.append(f"{len(other)} have another shape ({_some(shapes)})")
    return f"{found} The nearest layout is {nearest}, but {'; '.join(parts)}. Nothing was loaded."


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


def known() -> list[Layout]:
    """All layouts of state dicts that are recognised."""
    found = [_torchvision_resnet(depth) for depth in (18, 34, 50, 101, 152)] + [_torchvision_vgg16()]
    return found + [_reimplementation(depth) for depth in (101, 50, 152)]


def _shapes(module: torch.nn.Module, prefix: str = "") -> Shapes:
    named = module.state_dict().items()
    return {prefix + name: tuple(v.shape) for name, v in named if not name.endswith("num_batches_tracked")}


@cache
def _trunk(name: str) -> Shapes:
    """The shapes of the tensors of torchvision's network without its classifier, equal to those of our trunks."""
    with torch.device("meta"):
        shapes = _shapes(getattr(torchvision.models, name)(weights=None))
    return {key: shape for key, shape in shapes.items() if not key.startswith(("fc.", "classifier."))}


def _torchvision_resnet(depth: int) -> Layout:
    width = 512 if depth < 50 else 2048

    def expected(classes: int) -> Shapes:
        return {**_trunk(f"resnet{depth}"), "fc.weight": (classes, width), "fc.bias": (classes,)}

    def convert(names: dict[str, Tensor], multi_scale: bool) -> Foreign:
        weights = {f"trunk.{name}": value for name, value in names.items() if not name.startswith("fc.")}
        trunk = resnet(depth, stride_on="3x3", ceil_mode=False)
        return Foreign(f"torchvision's resnet{depth}", trunk, None, weights, 0, Normalization(), align_corners=False)

    return Layout(f"torchvision's resnet{depth}", expected, _rows("fc.weight"), convert)


def _torchvision_vgg16() -> Layout:
    def expected(classes: int) -> Shapes:
        full = {"0": (4096, 25088), "3": (4096, 4096), "6": (classes, 4096)}
        return _trunk("vgg16") | {
            f"classifier.{number}.{part}": shape if part == "weight" else shape[:1]
            for number, shape in full.items()
            for part in ("weight", "bias")
        }

    def convert(names: dict[str, Tensor], multi_scale: bool) -> Foreign:
        weights = {name if name.startswith("classifier.") else f"trunk.{name}": value for name, value in names.items()}
        trunk = {**vgg16(), "pool_size": 2, "ceil_mode": False}
        return Foreign("torchvision's vgg16", trunk, None, weights, 0, Normalization(), align_corners=False)

    return Layout("torchvision's vgg16", expected, _rows("classifier.6.weight"), convert)


def _rows(name: str) -> Callable[[Mapping[str, Tensor]], int]:
    return lambda state: len(state[name]) if name in state else 0


def _reimplementation(depth: int) -> Layout:
    """Caffe's ResNet in PyTorch: units of a convolution and a normalisation, ``aspp.c0`` to ``c3``."""
    name = f"the PyTorch DeepLab V2 with ResNet-{depth} (layer1.conv1.conv.weight ... aspp.c3.bias)"

    def ours(classes: int) -> Shapes:
        trunk = {f"trunk.{key}": shape for key, shape in _trunk(f"resnet{depth}").items()}
        with torch.device("meta"):
            return trunk | _shapes(ASPP(2048, classes or 1), "head.")

    def expected(classes: int) -> Shapes:
        return {_their_name(own): shape for own, shape in ours(classes).items()}

    def convert(names: dict[str, Tensor], multi_scale: bool) -> Foreign:
        weights = {own: names[_their_name(own)] for own in ours(0)}
        return Foreign(
            name.split(" (")[0],
            resnet(depth),
            aspp([6, 12, 18, 24], None),
            weights,
            len(names["aspp.c0.weight"]),
            scales=(0.5, 0.75, 1.0) if multi_scale else (1.0,),
            align_corners=False,
        )

    return Layout(name, expected, _rows("aspp.c0.weight"), convert)


def _their_name(own: str) -> str:
    """The name of one of our tensors in the re-implementation."""
    if found := re.fullmatch(r"head\.branches\.(\d)\.classifier\.(weight|bias)", own):
        return f"aspp.c{found[1]}.{found[2]}"
    if found := re.fullmatch(r"trunk\.(conv|bn)1\.(\w+)", own):
        return f"layer1.conv1.{found[1]}.{found[2]}"
    found = re.fullmatch(r"trunk\.layer(\d)\.(\d+)\.(.+)\.(\w+)", own)
    assert found is not None, own
    units: dict[str, Any] = {**_UNITS, "shortcut": _SHORTCUT}
    unit, part = next(
        (unit, kind)
        for unit, names in units.items()
        for kind, name in zip(("conv", "bn"), names, strict=True)
        if name == found[3]
    )
    return f"layer{int(found[1]) + 1}.block{int(found[2]) + 1}.{unit}.{part}.{found[4]}"

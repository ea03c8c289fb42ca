"""The authors' released Caffe models, read from their binary files without Caffe.

A net is recognised by the names of its layers: VGG-16 by ``conv1_1`` to ``conv5_3``, ResNets by ``res2a_branch1`` to
``res5c_branch2c``. If a file does not state its rates, the published ones are taken. Copies of layers for smaller
inputs have names with a suffix (``conv1_res075``, ``conv1_075``), and their weights must be equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from torch import Tensor

from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.caffe_schema import net_message
from deeplab_lit.weights.foreign import Foreign, aspp, field_of_view, resnet, vgg16

_EPS = 1e-5  # epsilon of batch normalisation: Caffe's default, and this library's
_VGG_CONVS = {
    f"conv{block}_{number}": index
    for (block, number), index in zip(
        [(b, n) for b, count in enumerate((2, 2, 3, 3, 3), 1) for n in range(1, count + 1)],
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        strict=True,
    )
}
_RESNET_BLOCK = re.compile(r"res([2-5])([a-z])(\d*)_branch(1|2a|2b|2c)")
_DEPTHS: dict[tuple[int, ...], int] = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
_SCALE = re.compile(r"_res0?(\d+)$|_(075|05)$")


@dataclass
class Layer:
    """A layer with its weights: ``blobs`` in Caffe's order (weight, bias; or mean, variance, factor)."""

    name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: list[NDArray[np.float32]] = field(default_factory=list)
    dilation: int | None = None
    eps: float = _EPS


def parse(content: bytes, source: str) -> list[Layer]:
    """The layers of a ``.caffemodel``; raises UserError if ``content`` is not one, or is cut off."""
    try:
        net = net_message().FromString(content)
    except DecodeError as error:
        raise UserError(
            f"{source} cannot be read: neither a PyTorch or safetensors file nor a whole Caffe model."
        ) from error
    layers = [_layer(each, source) for each in (*net.layer, *net.layers)]
    if not any(layer.blobs for layer in layers):
        raise UserError(f"{source} holds no layer with weights: a .caffemodel, .ckpt, .pth or .safetensors is wanted.")
    return layers


def _layer(message: Any, source: str) -> Layer:
    new = message.DESCRIPTOR.name == "Layer"
    rates = list(message.convolution_param.dilation) if new else []
    eps = message.batch_norm_param.eps if new and message.batch_norm_param.HasField("eps") else _EPS
    blobs = [_array(blob, message.name, source) for blob in message.blobs]
    return Layer(message.name, tuple(message.bottom), tuple(message.top), blobs, rates[0] if rates else None, eps)


def _array(blob: Any, name: str, source: str) -> NDArray[np.float32]:
    dims = list(blob.shape.dim) if blob.HasField("shape") else [blob.num, blob.channels, blob.height, blob.width]
    raw, kind = (blob.data, np.dtype("<f4")) if blob.data else (blob.double_data, np.dtype("<f8"))
    data = np.frombuffer(raw, kind, len(raw) // kind.itemsize).astype(np.float32, copy=False)
    if min(dims, default=0) < 0 or data.size != math.prod(dims):
        raise UserError(
            f"{source}: layer {name!r} says it has {dims} weights, but holds {data.size}: the file is damaged."
        )
    return data.reshape(dims)


def convert(layers: Sequence[Layer], source: str) -> Foreign:
    """The weights of a released net by this library's names, with the description of its network.

    Args:
        layers: from :func:`parse`.
        source: the name of the file, for messages.

    Raises:
        UserError: the net is neither VGG-16 nor a ResNet of the papers, or a layer belongs to neither.
    """
    rest = {layer.name: layer for layer in layers if layer.blobs}
    factors = _other_scales(rest, source)
    if "conv1_1" in rest:
        found = _vgg16(rest, layers, source)
    elif any(_RESNET_BLOCK.fullmatch(name) for name in rest):
        found = _resnet(rest, source)
    else:
        shapes = ", ".join(f"{name} {_shape(layer)}" for name, layer in list(rest.items())[:5])
        raise UserError(
            f"{source} is a Caffe model, but neither VGG-16 (conv1_1 to conv5_3) nor a ResNet (res2a_branch1 to "
            f"res5c_branch2c): it begins with {shapes}."
        )
    if rest:
        names = ", ".join(f"{name} {_shape(layer)}" for name, layer in list(rest.items())[:5])
        raise UserError(f"{source}: {len(rest)} layers have no place in {found.what}: {names}.")
    found.scales = factors
    return found


def _shape(layer: Layer) -> str:
    return " ".join("x".join(map(str, blob.shape)) for blob in layer.blobs)


def _other_scales(rest: dict[str, Layer], source: str) -> list[float]:
    """Remove the copies of layers for smaller inputs. Returns the scales of the input: 1 and those of the copies."""
    factors = {1.0}
    for name in list(rest):
        found = _SCALE.search(name)
        if not found or name[: found.start()] not in rest:
            continue
        original = rest[name[: found.start()]]
        same = len(original.blobs) == len(rest[name].blobs) and all(
            np.array_equal(a, b) for a, b in zip(original.blobs, rest[name].blobs, strict=True)
        )
        if not same:
            raise UserError(f"{source}: layers {original.name!r} and {name!r} should share their weights, but differ.")
        digits = found[1] or found[2]
        factors.add(float(f"0.{digits.lstrip('0')}"))
        del rest[name]
    return sorted(factors)


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(array.copy())


def _take_conv(rest: dict[str, Layer], name: str, target: str, source: str) -> dict[str, Tensor]:
    if name not in rest:
        raise UserError(f"{source} has no layer {name!r}: it is cut off, or of another net.")
    layer = rest.pop(name)
    weights = {f"{target}.weight": _tensor(layer.blobs[0])}
    if len(layer.blobs) > 1:
        weights[f"{target}.bias"] = _tensor(layer.blobs[1].reshape(-1))
    return weights


def _vgg16(rest: dict[str, Layer], layers: Sequence[Layer], source: str) -> Foreign:
    weights: dict[str, Tensor] = {}
    for name, index in _VGG_CONVS.items():
        weights |= _take_conv(rest, name, f"trunk.features.{index}", source)
    if "fc6" in rest and rest["fc6"].blobs[0].size == 4096 * 512 * 49 and rest["fc6"].blobs[0].shape[-1] != 7:
        return _imagenet_vgg16(weights, rest)
    branches = [name[3:] for name in rest if re.fullmatch(r"fc6(_\d+)?", name)]
    taps = _taps(rest, layers)
    prefixes = dict.fromkeys(branches, "head.")
    if taps:
        prefixes = {"": "head.main."}
    elif branches != [""]:
        prefixes = {suffix: f"head.branches.{i}." for i, suffix in enumerate(sorted(branches))}
    if not branches or (taps and branches != [""]):
        raise UserError(f"{source} has VGG-16's convolutions but no fc6 that this library knows of.")
    kernels, known, width, classes, notes = set(), [], 0, 0, []
    for suffix in sorted(branches):
        prefix = prefixes[suffix]
        kernels.add(rest[f"fc6{suffix}"].blobs[0].shape[-1])
        known.append(rest[f"fc6{suffix}"].dilation)
        fc6 = _take_conv(rest, f"fc6{suffix}", f"{prefix}hidden.fc6", source)
        width = fc6[f"{prefix}hidden.fc6.weight"].shape[0]
        weights |= fc6 | _take_conv(rest, f"fc7{suffix}", f"{prefix}hidden.fc7", source)
        last = [name for name in rest if re.fullmatch(rf"fc8(_\w*?[a-z]\w*?)?{suffix}", name)]
        if last:
            classifier = _take_conv(rest, last[0], f"{prefix}classifier", source)
            classes = classifier[f"{prefix}classifier.weight"].shape[0]
            weights |= classifier
    kernel = kernels.pop()
    rates = [rate for rate in known if rate is not None]
    if len(rates) < len(known):
        rates = {7: [4], 4: [4], 3: [12]}[kernel] if len(known) == 1 else [6, 12, 18, 24][: len(known)]
        notes.append(f"the file does not say its rates: {rates} were taken, as published")
    pool5a = any(layer.name == "pool5a" for layer in layers)
    model = aspp(rates, width) if len(branches) > 1 else field_of_view(kernel, rates[0], width, pool5a)
    if taps:
        model = {**model, "_target_": "deeplab_lit.models.heads.MultiScaleFeatures"}
        for number, chain in enumerate(taps):
            for layer, name in zip((0, 3, 6), chain, strict=True):
                tap = _take_conv(rest, name, f"head.taps.{number}.{layer}", source)
                weights |= tap
        model["tap_hidden"] = weights["head.taps.0.0.weight"].shape[0]
    what = f"Caffe VGG-16 with {'ASPP' if len(branches) > 1 else f'fc6 {kernel}x{kernel}'}{', MSc' if taps else ''}"
    return Foreign(what, vgg16(), model if classes else None, weights, classes, notes=notes)


def _imagenet_vgg16(weights: dict[str, Tensor], rest: dict[str, Layer]) -> Foreign:
    for number, name in (("0", "fc6"), ("3", "fc7"), ("6", "fc8")):
        layer = rest.pop(name)
        outputs = layer.blobs[-1].size
        weights[f"classifier.{number}.weight"] = _tensor(layer.blobs[0].reshape(outputs, -1))
        weights[f"classifier.{number}.bias"] = _tensor(layer.blobs[1].reshape(-1))
    return Foreign("Caffe VGG-16 of ImageNet", vgg16(), None, weights, 0)


def _taps(rest: dict[str, Layer], layers: Sequence[Layer]) -> list[list[str]]:
    """The chains of three convolutions on the image and on pool1 to pool4, by the names of their layers."""
    source_of: dict[str, str] = {}  # the original of each copied blob, through layers without weights
    after: dict[str, list[str]] = {}
    for layer in layers:
        origins = [source_of.get(bottom, bottom) for bottom in layer.bottoms]
        if layer.blobs:
            after.setdefault(origins[0] if origins else "", []).append(layer.name)
            for top in layer.tops:
                source_of[top] = layer.name
        elif re.fullmatch(r"pool\d\w?", layer.name) or len(origins) != 1:
            continue
        else:
            source_of.update(dict.fromkeys(layer.tops, origins[0]))
    chains = []
    trunk_or_head = re.compile(r"conv\d_\d|fc\d.*")
    for start in ("data", "pool1", "pool2", "pool3", "pool4"):
        first = [name for name in after.get(start, []) if name in rest and not trunk_or_head.fullmatch(name)]
        if not first:
            continue
        chain = [first[0]]
        while len(chain) < 3 and (follow := [name for name in after.get(chain[-1], []) if name in rest]):
            chain.append(follow[0])
        chains.append(chain)
    return chains if len(chains) == 5 and all(len(chain) == 3 for chain in chains) else []


def _resnet(rest: dict[str, Layer], source: str) -> Foreign:
    weights = _take_unit(rest, "conv1", ("bn_conv1", "scale_conv1"), "trunk.conv1", "trunk.bn1", source)
    blocks = [set(), set(), set(), set()]  # type: list[set[tuple[str, int]]]
    for name in rest:
        if found := _RESNET_BLOCK.fullmatch(name):
            blocks[int(found[1]) - 2].add((found[2], int(found[3] or 0)))
    depth = _DEPTHS.get(tuple(len(stage) for stage in blocks))
    if depth is None:
        counts = [len(stage) for stage in blocks]
        raise UserError(f"{source} is a ResNet with {counts} blocks: ResNet-50, 101 and 152 are known; is it cut off?")
    for stage, members in enumerate(blocks):
        for number, (letter, index) in enumerate(sorted(members)):
            block = f"{stage + 2}{letter}{index or ''}"
            target = f"trunk.layer{stage + 1}.{number}"
            parts = {"2a": ("conv1", "bn1"), "2b": ("conv2", "bn2"), "2c": ("conv3", "bn3")}
            if number == 0:
                parts["1"] = ("downsample.0", "downsample.1")
            for branch, (conv, norm) in parts.items():
                names = (f"bn{block}_branch{branch}", f"scale{block}_branch{branch}")
                weights |= _take_unit(
                    rest, f"res{block}_branch{branch}", names, f"{target}.{conv}", f"{target}.{norm}", source
                )
    heads = [layer for layer in rest.values() if layer.blobs[0].ndim == 4 and layer.blobs[0].shape[1] == 2048]
    heads.sort(key=lambda layer: layer.name)
    notes: list[str] = []
    if not heads:
        rest.pop("fc1000", None)
        return Foreign(f"Caffe ResNet-{depth}", resnet(depth), None, weights, 0)
    kernels = {layer.blobs[0].shape[-1] for layer in heads}
    kernel, classes = heads[0].blobs[0].shape[-1], heads[0].blobs[0].shape[0]
    if len(kernels) > 1 or any(layer.blobs[0].shape[0] != classes for layer in heads):
        raise UserError(f"{source}: the classifiers {', '.join(layer.name for layer in heads)} differ in size.")
    rates: list[Any] = [layer.dilation for layer in heads]
    if kernel > 1 and None in rates:
        rates = [12] if len(heads) == 1 else [6, 12, 18, 24][: len(heads)]
        notes.append(f"the file does not say its rates: {rates} were taken, as published")
    if kernel == 1:
        rates = [1] * len(heads)
    for number, layer in enumerate(heads):
        prefix = f"head.branches.{number}." if len(heads) > 1 else "head."
        weights |= _take_conv(rest, layer.name, f"{prefix}classifier", source)
    model = aspp(rates, None) if len(heads) > 1 else field_of_view(kernel, rates[0], None, False)
    what = f"Caffe ResNet-{depth} with {len(heads)} {kernel}x{kernel} classifier{'s' if len(heads) > 1 else ''}"
    return Foreign(what, resnet(depth), model, weights, classes, notes=notes)


def _take_unit(
    rest: dict[str, Layer], conv: str, norms: tuple[str, str], target: str, norm_target: str, source: str
) -> dict[str, Tensor]:
    """A convolution with its BatchNorm and Scale, which together are one batch normalisation."""
    weights = _take_conv(rest, conv, target, source)
    for name in norms:
        if name not in rest:
            raise UserError(
                f"{source} has no layer {name!r}, which belongs to {conv!r}: it is cut off, or of another net."
            )
    norm, scale = (rest.pop(name) for name in norms)
    factor = (
        norm.blobs[2].item() if norm.blobs[2].item() != 0 else 1.0
    )  # Caffe keeps sums, and the number by which to divide them
    mean, variance = _tensor(norm.blobs[0].reshape(-1)) / factor, _tensor(norm.blobs[1].reshape(-1)) / factor
    bias = weights.pop(f"{target}.bias", None)
    return weights | {
        f"{norm_target}.weight": _tensor(scale.blobs[0].reshape(-1)),
        f"{norm_target}.bias": _tensor(scale.blobs[1].reshape(-1)),
        f"{norm_target}.running_mean": mean if bias is None else mean - bias,
        f"{norm_target}.running_var": variance + (norm.eps - _EPS),
    }

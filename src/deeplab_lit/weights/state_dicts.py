"""Layouts of state dicts of other code bases: torchvision's classifiers, and DeepLab in PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor

from deeplab_lit.data.normalization import BGR_BYTES, Normalization
from deeplab_lit.weights.foreign import Foreign, aspp, field_of_view, resnet, vgg16

Shapes = dict[str, tuple[int, ...]]
RATES = (6, 12, 18, 24)
"""The rates of ASPP-L, which no state dict holds."""
_SCALES = (0.5, 0.75, 1.0)
_PARTS = ("weight", "bias")


class Layer(NamedTuple):
    """A layer with weight and bias beside the trunk.

    Attributes:
        theirs: its name in the file.
        own: its name in a :class:`DeepLab`; None: it is left.
        inputs: the shape of its weight without the first axis.
        outputs: the first axis of its weight; None: one for each class.
    """

    theirs: str
    own: str | None
    inputs: tuple[int, ...]
    outputs: int | None = None


@dataclass(frozen=True)
class Layout:
    """A layout of a state dict: the names and shapes of its tensors, and the network that they make.

    Attributes:
        what: the network, for messages.
        examples: names of its tensors, for messages.
        trunk: torchvision's network whose trunk has the same shapes.
        backbone: the trunk's description.
        renamed: from torchvision's name of a tensor of the trunk to the name in the file.
        layers: the layers beside the trunk.
        model: the head's description; None without a classifier of pixels.
        normalization: of the network's input.
        align_corners: how inputs and scores are resized.
        scales: of the input.
        tells_rates: whether the layout alone says how many classifiers are summed.
        notes: remarks on what the file does not say.
    """

    what: str
    examples: str
    trunk: str
    backbone: dict[str, Any]
    renamed: Callable[[str], str] = str
    layers: tuple[Layer, ...] = ()
    model: dict[str, Any] | None = None
    normalization: Normalization = BGR_BYTES
    align_corners: bool = False
    scales: Sequence[float] = (1.0,)
    tells_rates: bool = True
    notes: tuple[str, ...] = ()

    def expected(self, classes: int) -> Shapes:
        """The shapes of the tensors in a file with so many classes."""
        shapes = dict(self._of_trunk)
        for layer in self.layers:
            outputs = classes if layer.outputs is None else layer.outputs
            shapes |= {f"{layer.theirs}.weight": (outputs, *layer.inputs), f"{layer.theirs}.bias": (outputs,)}
        return shapes

    @cached_property
    def _of_trunk(self) -> Shapes:
        return {self.renamed(name): shape for name, shape in _trunk(self.trunk).items()}

    def classes(self, state: Mapping[str, Tensor]) -> int:
        """The number of classes that the classifiers in a file have; 0 without one."""
        biases = (state.get(f"{layer.theirs}.bias") for layer in self.layers if layer.outputs is None)
        return next((len(bias) for bias in biases if bias is not None and bias.ndim), 0)

    def convert(self, state: Mapping[str, Tensor], multi_scale: bool, rates: Sequence[int] | None) -> Foreign:
        """The weights of a file that fits whole, with the description of their network.

        Args:
            state: the tensors of the file.
            multi_scale: whether a prefix of its names says that the network has several scales of its input.
            rates: of the first branches of ASPP, which are taken alone; None: those of the layout.
        """
        model = self.model and {**self.model, **({} if rates is None else {"rates": list(rates)})}
        own = [layer for layer in self.layers if layer.own is not None]
        summed = len(own) if rates is None else len(rates)
        kept, beyond = own[:summed], own[summed:]
        weights = {f"trunk.{name}": state[self.renamed(name)] for name in _trunk(self.trunk)}
        weights |= {f"{each.own}.{part}": state[f"{each.theirs}.{part}"] for each in kept for part in _PARTS}
        return Foreign(
            self.what,
            dict(self.backbone),
            model,
            weights,
            self.classes(state) if model else 0,
            self.normalization,
            _SCALES if multi_scale else self.scales,
            self.align_corners,
            [*self.notes, *(f"{each.theirs} was left: rates={rates} sums {summed} classifiers" for each in beyond)],
        )


@cache
def known() -> tuple[Layout, ...]:
    """All layouts of state dicts that are recognised. Of two that fit equally well the first is taken."""
    return (
        *(layout for depth in (101, 50, 152) for layout in (*_deeplab_pytorch(depth), *_deeplab_resnet(depth))),
        *(layout for depth in (101, 50, 152, 34, 18) for layout in _torchvision_resnets(depth)),
        _torchvision_vgg16(),
    )


def _torchvision_resnets(depth: int) -> list[Layout]:
    name = f"resnet{depth}"
    trunk = Layout(
        f"the trunk of torchvision's {name}",
        "conv1.weight ... layer4.1.bn2.bias",
        name,
        resnet(depth, stride_on="3x3", ceil_mode=False),
        normalization=Normalization(),
        notes=(
            "DeepLab-ResNet's trunk has torchvision's names, but other strides and another input: if the file is of "
            "that network, put Scale. before each name",
        ),
    )
    fc = Layer("fc", None, (512 if depth < 50 else 2048,))
    whole = replace(trunk, what=f"torchvision's {name}", examples="conv1.weight ... fc.bias", layers=(fc,), notes=())
    return [whole, trunk]


def _torchvision_vgg16() -> Layout:
    full = (("0", 25088, 4096), ("3", 4096, 4096), ("6", 4096, None))
    return Layout(
        "torchvision's vgg16",
        "features.0.weight ... classifier.6.bias",
        "vgg16",
        {**vgg16(), "pool_size": 2, "ceil_mode": False},
        layers=tuple(Layer(f"classifier.{i}", f"classifier.{i}", (inputs,), outputs) for i, inputs, outputs in full),
        normalization=Normalization(),
    )


def _branches(name: str, channels: int = 2048, main: bool = True) -> tuple[Layer, ...]:
    """Four classifiers of 3x3; only the main ones are the network's."""
    own = "head.branches.{}.classifier" if main else None
    return tuple(Layer(name.format(i), own and own.format(i), (channels, 3, 3)) for i in range(len(RATES)))


def _deeplab_pytorch(depth: int) -> list[Layout]:
    """Caffe's ResNet in units of a convolution and a normalisation, alone and with each kind of classifier."""
    trunk = Layout(
        f"the trunk of the PyTorch DeepLab V2 with ResNet-{depth}",
        "layer1.conv1.conv.weight ... layer5.block3.increase.bn.bias",
        f"resnet{depth}",
        resnet(depth),
        _in_units,
    )
    pyramid = replace(
        trunk,
        what=f"the PyTorch DeepLab V2 with ResNet-{depth}",
        examples="layer1.conv1.conv.weight ... aspp.c3.bias",
        layers=_branches("aspp.c{}"),
        model=aspp(RATES, None),
    )
    one = replace(
        trunk,
        what=f"the PyTorch DeepLab V1 with ResNet-{depth}",
        examples="layer1.conv1.conv.weight ... fc.bias",
        layers=(Layer("fc", "head.classifier", (2048, 1, 1)),),
        model=field_of_view(1, 1, None, False),
    )
    imagenet = replace(
        one,
        what=f"the ImageNet ResNet-{depth} that the PyTorch DeepLab V2 starts from",
        layers=(Layer("fc", None, (2048, 1, 1), 1000),),
        model=None,
        notes=("fc was left: its 1,000 classes are those of ImageNet's images",),
    )
    return [pyramid, imagenet, one, trunk]


def _deeplab_resnet(depth: int) -> list[Layout]:
    """Caffe's ResNet under torchvision's names, with lists of classifiers; ``Scale.`` is its wrapper of inputs."""
    plain = Layout(
        f"DeepLab-ResNet-{depth} with layer5",
        "conv1.weight ... layer5.conv2d_list.3.bias",
        f"resnet{depth}",
        resnet(depth),
        layers=_branches("layer5.conv2d_list.{}"),
        model=aspp(RATES, None),
        align_corners=True,
        tells_rates=False,
        notes=("the file does not say how scores are resized: corners are aligned, as in the released nets",),
    )
    multi = replace(
        plain,
        what=f"DeeplabMulti with ResNet-{depth}",
        examples="conv1.weight ... layer6.conv2d_list.3.bias",
        layers=(
            *_branches("layer5.conv2d_list.{}", channels=1024, main=False),
            *_branches("layer6.conv2d_list.{}"),
        ),
        notes=(*plain.notes, "layer5, which classifies the features of layer3 beside layer6 in training, was left"),
    )
    scaled = replace(
        plain,
        what=f"DeepLab-ResNet-{depth} with several scales of its input",
        examples="Scale.conv1.weight ... Scale.layer5.conv2d_list.3.bias",
        renamed="Scale.{}".format,
        layers=_branches("Scale.layer5.conv2d_list.{}"),
        scales=_SCALES,
        tells_rates=True,
    )
    trunk = replace(
        scaled,
        what=f"the trunk of DeepLab-ResNet-{depth}",
        examples="Scale.conv1.weight ... Scale.layer4.2.bn3.bias",
        layers=(),
        model=None,
        notes=(),
    )
    return [plain, multi, scaled, trunk]


@cache
def _trunk(name: str) -> Shapes:
    """The shapes of the tensors of torchvision's network without its classifier, equal to those of our trunks."""
    with torch.device("meta"):
        state = getattr(torchvision.models, name)(weights=None).state_dict()
    beside = ("fc.", "classifier.")
    named = state.items()
    return {key: tuple(v.shape) for key, v in named if not key.startswith(beside) and not is_counter(key)}


def is_counter(name: str) -> bool:
    """Whether a tensor counts the batches of a normalisation, which many files lack and nothing reads."""
    return name.endswith("num_batches_tracked")


_UNITS = {
    "conv1": "reduce.conv", "bn1": "reduce.bn", "conv2": "conv3x3.conv", "bn2": "conv3x3.bn",
    "conv3": "increase.conv", "bn3": "increase.bn", "downsample.0": "shortcut.conv", "downsample.1": "shortcut.bn",
}  # fmt: skip


def _in_units(name: str) -> str:
    """``layer3.2.conv1.weight``, torchvision's name, as ``layer4.block3.reduce.conv.weight``: the stem is layer1."""
    if found := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        return f"layer1.conv1.{found[1]}.{found[2]}"
    found = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)\.(\w+)", name)
    assert found is not None, name
    return f"layer{int(found[1]) + 1}.block{int(found[2]) + 1}.{_UNITS[found[3]]}.{found[4]}"

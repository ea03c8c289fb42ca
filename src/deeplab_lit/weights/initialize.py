"""Initialise a network: random weights, ImageNet's, or those of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from deeplab_lit.config.schemas import CheckpointConfig, ImageNetConfig, InitConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0
from deeplab_lit.models.network import Network, deeplab_of
from deeplab_lit.models.timm_trunk import TimmTrunk
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import CHECKPOINT_KEY
from deeplab_lit.weights.from_checkpoint import start_from_checkpoint
from deeplab_lit.weights.from_imagenet import read_torchvision, start_from_imagenet
from deeplab_lit.weights.lite0_package import read_efficientnet_lite0, trunk_weights
from deeplab_lit.weights.read import read
from deeplab_lit.weights.transfer import take


def initialize(
    network: Network,
    init: InitConfig,
    labels: LabelSet,
    backbone: Mapping[str, Any],
    content: Mapping[str, Any] | None = None,
) -> list[str]:
    """Give a network its initial weights.

    Args:
        network: the network, with random weights.
        init: the config of the initial weights.
        labels: the classes of the training.
        backbone: the trunk's description, as a checkpoint holds it.
        content: the checkpoint that ``init.path`` names, if it has been read already.

    Returns:
        Lines for the summary: which tensors were taken, which are new, which were left, and further remarks.

    Raises:
        UserError: the weights do not exist, or belong to another network.
    """
    inner = deeplab_of(network)
    if isinstance(init, ImageNetConfig):
        trunk = inner.trunk
        if isinstance(trunk, EfficientNetLite0):
            weights, rest = trunk_weights(read_efficientnet_lite0(init.path))
            return [_of_trunk(inner, weights, f"EfficientNet-Lite0 {init.path or 'of ImageNet'}", rest)]
        if isinstance(trunk, TimmTrunk):
            source = f"timm's {trunk.name} {init.path or ''}".strip()
            return [_of_trunk(inner, trunk.pretrained_weights(init.path), source, [])]
        name = getattr(trunk, "torchvision_name", None)
        if name is None:
            raise UserError(
                f"init=imagenet knows vgg16, the resnets, efficientnet_lite0 and timm's networks, not "
                f"{type(trunk).__name__}: load its weights in the trunk's constructor, or give it the attribute "
                "torchvision_name."
            )
        state = read_torchvision(name, init.weights, init.path)
        source = f"{name} {init.path or init.weights}"
        return [f"{source}: {start_from_imagenet(inner, state, source, init.fc, init.fc_seed)}"]  # type: ignore[arg-type]
    if isinstance(init, CheckpointConfig):
        content = read(init.path, init.rates) if content is None else content
        lines = [f"{init.path}: {start_from_checkpoint(inner, content, labels, init.path)}"]
        about = content[CHECKPOINT_KEY]
        if "source" in about:
            lines += [f"it is {about['source']}", *(f"note: {note}" for note in about["notes"])]
        theirs = about["network"]["backbone"]
        of_training = ("frozen_norm", "frozen_affine", "norm_momentum")
        keys = sorted(key for key in theirs.keys() & backbone.keys() if key not in of_training)
        lines += [
            f"note: those weights were trained with backbone.{key}={theirs[key]}, not {backbone[key]}"
            for key in keys
            if theirs[key] != backbone[key]
        ]
        return lines
    return []


def _of_trunk(network: DeepLab, weights: Mapping[str, Tensor], source: str, rest: Sequence[str]) -> str:
    report = take(network, {f"trunk.{name}": value for name, value in weights.items()}, source)
    return f"{source}: {replace(report, left=(*report.left, *rest))}"

"""Where a training starts: random weights, ImageNet, or a checkpoint."""

from __future__ import annotations

from typing import Any

from deeplab_lit.checkpoints import read
from deeplab_lit.config import CheckpointConfig, ImageNetConfig, InitConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.errors import UserError
from deeplab_lit.models.build import Network, plain
from deeplab_lit.segmenter import CHECKPOINT_KEY
from deeplab_lit.weights.imagenet import read_torchvision, start_from_imagenet
from deeplab_lit.weights.own import start_from_checkpoint


def start(network: Network, init: InitConfig, labels: LabelSet, backbone: dict[str, Any]) -> list[str]:
    """Give a network its first weights.

    Args:
        network: with random weights.
        init: which to take.
        labels: the classes that are trained for.
        backbone: the trunk's description, as a checkpoint holds it.

    Returns:
        Lines that say what was taken, what is new, what was left, and what else to know.

    Raises:
        UserError: the weights are not there, or are of another network.
    """
    inner = plain(network)
    if isinstance(init, ImageNetConfig):
        name = getattr(inner.trunk, "torchvision_name", None)
        if name is None:
            raise UserError(
                f"init=imagenet knows torchvision's vgg16 and resnets, not {type(inner.trunk).__name__}: load its "
                "weights in the trunk's constructor, or give it the attribute torchvision_name."
            )
        state = read_torchvision(name, init.weights, init.path)
        source = f"{name} {init.path or init.weights}"
        return [f"{source}: {start_from_imagenet(inner, state, source, init.fc, init.fc_seed)}"]  # type: ignore[arg-type]
    if isinstance(init, CheckpointConfig):
        content = read(init.path)
        lines = [f"{init.path}: {start_from_checkpoint(inner, content, labels, init.path)}"]
        theirs = content[CHECKPOINT_KEY]["network"]["backbone"]
        of_training = ("recipe", "frozen_norm", "frozen_affine", "norm_momentum")
        keys = sorted(key for key in theirs.keys() & backbone.keys() if key not in of_training)
        lines += [
            f"note: those weights were trained with backbone.{key}={theirs[key]}, not {backbone[key]}"
            for key in keys
            if theirs[key] != backbone[key]
        ]
        return lines
    return []

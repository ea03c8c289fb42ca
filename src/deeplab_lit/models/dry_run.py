"""Dry run of a network on a small image, which shows before a training whether its trunk and its head fit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.input_channels import input_channels
from deeplab_lit.models.network import Network, deeplab_of
from deeplab_lit.utils.errors import UserError

_SIDE = 97


def check_parts(network: Network, num_classes: int) -> None:
    """Run trunk and head once, in evaluation mode; the network and PyTorch's random numbers stay as they are.

    Raises:
        UserError: the trunk's features have other channels or another stride than it says, the head does not take
            them, or its scores are not those of ``num_classes`` classes.
    """
    inner = deeplab_of(network)
    modes = {module: module.training for module in inner.modules()}
    inner.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            image = torch.zeros(1, input_channels(inner.trunk), _SIDE, _SIDE)
            _check_features(inner, inner.trunk(image))
            _check_scores(inner, image, num_classes)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _check_features(network: DeepLab, features: object) -> None:
    trunk, name = network.trunk, type(network.trunk).__name__
    if not isinstance(features, Tensor) or features.ndim != 4:
        raise UserError(f"backbone {name} gives {_shape(features)}: its features are one tensor (N, channels, h, w).")
    if features.shape[1] != trunk.channels:
        raise UserError(
            f"backbone {name} says channels={trunk.channels}, its features have {features.shape[1]}: set "
            f"self.channels = {features.shape[1]} in it."
        )
    stride = _SIDE / features.shape[-1]
    if not 2 / 3 < stride / float(trunk.output_stride) < 3 / 2:  # type: ignore[arg-type]
        raise UserError(
            f"backbone {name} says output_stride={trunk.output_stride}, its features of an image of {_SIDE} x {_SIDE} "
            f"are {features.shape[-2]} x {features.shape[-1]}, a stride of about {2 ** round(math.log2(stride))}: set "
            "self.output_stride to what its layers do, or bring them to it with deeplab_lit.models.dilate."
        )


def _check_scores(network: DeepLab, image: Tensor, num_classes: int) -> None:
    trunk, head = type(network.trunk).__name__, type(network.head).__name__
    try:
        scores = network(image)
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        raise UserError(
            f"model {head} does not take what backbone {trunk} gives, {network.trunk.channels} channels at stride "
            f"{network.trunk.output_stride}: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(scores, Tensor) or scores.ndim != 4 or scores.shape[1] != num_classes:
        raise UserError(f"model {head} gives {_shape(scores)}: its scores are one tensor (N, {num_classes}, h, w).")


def _shape(value: object) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"

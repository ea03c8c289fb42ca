"""Channels of a network's input: the convolutions that read the image, and networks of other images than RGB."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from deeplab_lit.utils.errors import UserError

_WIDENED = "image_channels"  # the attribute of a trunk of other images than RGB
_SIDE = 256  # side in pixels of the image that a network is tried with


def input_channels(network: nn.Module) -> int:
    """The channels of the images that a trunk, or a network around one, takes."""
    while not hasattr(network, _WIDENED) and isinstance(inner := getattr(network, "network", None), nn.Module):
        network = inner
    return int(getattr(getattr(network, "trunk", network), _WIDENED, 3))


def widen_input(trunk: nn.Module, channels: int) -> None:
    """Make a trunk of RGB images one of images with so many channels, in place, with random filters.

    The convolutions that read the image get filters from the normal distribution of Kaiming He, in the mode
    ``fan_out``, as this library's trunks have them. :func:`deeplab_lit.weights.widened.widened` says what becomes of
    trained filters of RGB images.

    Raises:
        UserError: no convolution of the trunk reads the image itself.
    """
    names = image_convolutions(trunk)
    if not names:
        raise UserError(
            f"data.channels={channels}: no convolution of backbone {type(trunk).__name__} reads the image itself, so "
            "its input cannot be widened: choose another backbone."
        )
    for name in names:
        conv = trunk.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        conv.in_channels = channels
        conv.weight = nn.Parameter(conv.weight.new_empty(conv.out_channels, channels, *conv.kernel_size))
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    setattr(trunk, _WIDENED, channels)


def image_convolutions(network: nn.Module, channels: int = 3) -> list[str]:
    """The names of the convolutions that read the image itself, found by a pass on the meta device.

    Args:
        network: maps images (N, channels, H, W) to features or scores.
        channels: of the images.
    """
    probe = copy.deepcopy(network).to("meta").eval()
    parameter = next(probe.parameters(), None)
    image = torch.empty(1, channels, _SIDE, _SIDE, device="meta", dtype=None if parameter is None else parameter.dtype)
    found: list[str] = []

    def note(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0] is image and name not in found:
                found.append(name)

        return hook

    for name, layer in probe.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            layer.register_forward_pre_hook(note(name))
    with torch.no_grad(), suppress(Exception):  # a network may raise any error on the meta device
        probe(image)
    return found

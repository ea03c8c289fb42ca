"""Trained filters of RGB images as filters of images with another number of channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.input_channels import image_convolutions, input_channels


def widened(weights: Mapping[str, Tensor], network: DeepLab) -> dict[str, Tensor]:
    """The weights themselves, where those of RGB images are turned into those of the images that a network takes.

    With more than three channels, the filters of the first three are the trained ones, and those of the others are
    zero: the network begins with the scores of the network of RGB images, whatever the other channels hold. With one
    or two channels, each has the sum of the trained filters over red, green and blue, divided by the number of
    channels: a grey image in each channel has the response of its repetition as RGB.

    Args:
        weights: tensors under the network's names.
        network: the network that is to take them.
    """
    channels = input_channels(network.trunk)
    found = dict(weights)
    if channels == 3:
        return found
    for name in image_convolutions(network, channels):
        trained = found.get(f"{name}.weight")
        if trained is None or trained.ndim != 4 or trained.shape[1] != 3:
            continue
        if channels > 3:
            rest = trained.new_zeros(len(trained), channels - 3, *trained.shape[2:])
            found[f"{name}.weight"] = torch.cat([trained, rest], 1)
        else:
            found[f"{name}.weight"] = trained.sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels
    return found

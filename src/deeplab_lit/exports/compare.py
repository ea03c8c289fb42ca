"""Comparison of an exported file with its network, by their scores on images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.source import open_source
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.instantiate import OWN

Scores = Callable[[Tensor], Tensor]
TOLERANCE = 1e-3  # share of the largest score: both compute in single precision, in another order
_SIZES = 3
_DRAWN = {"_target_": "deeplab_lit.data.shapes.dataset.Shapes"}
_LONGEST = 513  # pixels: larger images prove nothing more
_SHORTEST = 97


@dataclass(frozen=True)
class Comparison:
    """The scores of the network and of the exported file on one input.

    Attributes:
        name: the name of the image.
        size: its height and width.
        difference: the largest absolute difference between two scores.
        largest: the largest absolute score of the network.
        equal: the share of pixels with equal labels.
    """

    name: str
    size: tuple[int, int]
    difference: float
    largest: float
    equal: float

    @property
    def agrees(self) -> bool:
        return self.difference <= TOLERANCE * self.largest  # False for NaN

    def __str__(self) -> str:
        height, width = self.size
        return (
            f"{self.name}, {width} x {height}: largest difference {self.difference:.1e} of scores up to "
            f"{self.largest:.1f}, labels equal on {self.equal:.6f} of the pixels"
        )


def compare(
    network: Scores, exported: Scores, normalization: Normalization, images: Mapping[str, Bytes]
) -> Iterator[Comparison]:
    """Compare the scores of each image alone, and of a batch of the first image and its mirror image."""
    inputs = {name: normalization(image)[None] for name, image in images.items()}
    name, first = next(iter(inputs.items()))
    inputs[f"{name} and its mirror image"] = torch.cat([first, first.flip(-1)])
    for name, x in inputs.items():
        with torch.no_grad():
            expected, found = network(x), exported(x)
        yield Comparison(
            name,
            (x.shape[-2], x.shape[-1]),
            (expected - found).abs().max().item(),
            expected.abs().max().item(),
            (expected.argmax(1) == found.argmax(1)).double().mean().item(),
        )


def images_to_check(given: str | None, data: Mapping[str, Any] | None) -> dict[str, Bytes]:
    """Three images of three sizes, RGB bytes (H, W, 3), by name.

    They are files that ``given`` names, or else images of the training data set, or else drawn images.
    """
    found = {name: read_image(path) for name, path in _first(find_images(given))} if given else _of_data(data)
    names = list(found)
    sizes: set[tuple[int, ...]] = set()
    result = {}
    for number in range(_SIZES):
        name = names[number % len(names)]
        height, width = found[name].shape[:2]
        image = _resized(found[name], max(min(1.0, _LONGEST / max(height, width)), _SHORTEST / min(height, width)))
        enlarged = 0
        while image.shape in sizes:  # photographs of one camera have one size
            image, enlarged = _resized(image, 1.25), enlarged + 1
        sizes.add(image.shape)
        result[name + ", enlarged" * enlarged] = image
    return result


def _resized(image: Bytes, factor: float) -> Bytes:
    if factor == 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _first(images: dict[str, Path]) -> list[tuple[str, Path]]:
    return list(images.items())[:_SIZES]


def _of_data(data: Mapping[str, Any] | None) -> dict[str, Bytes]:
    try:
        split = open_source(data or _DRAWN, allowed=OWN).split("val")
    except UserError:  # the training data set is not on this machine
        split = open_source(_DRAWN).split("val")
    return {(example := split[index]).id: example.image for index in range(min(_SIZES, len(split)))}

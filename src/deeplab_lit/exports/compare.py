"""Comparison of an exported file, used as its user does, with what prediction computes, by their scores on images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.data.source import open_source
from deeplab_lit.data.transforms import EvalTransform
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.utils.arrays import Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.instantiate import OWN

Scores = Callable[[Tensor], Tensor]
TOLERANCE = 1e-3  # share of the largest score: both compute in single precision, in another order
_DRAWN = {"_target_": "deeplab_lit.data.shapes.dataset.Shapes"}
_LONGEST = 1025  # pixels: predict looks at larger images in windows


@dataclass(frozen=True)
class Comparison:
    """The scores of the network and of the exported file on one input.

    Attributes:
        name: the name of the image.
        size: its height and width.
        difference: the largest absolute difference between two scores.
        largest: the largest absolute score in prediction.
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
    network: Scores, exported: Scores, normalization: Normalization, eval_size: int, images: Mapping[str, Pixels]
) -> Iterator[Comparison]:
    """Compare the scores of each image alone, and of a batch of the first image and its mirror image.

    Args:
        network: from images that are normalised and padded, as in prediction, to scores.
        exported: from images that are normalised, as a user of the file gives them, to scores.
        normalization: of the network's input.
        eval_size: the least height and width in pixels that prediction pads images to.
        images: images (H, W, C) by name.
    """
    inputs = {name: [image] for name, image in images.items()}
    name, first = next(iter(images.items()))
    inputs[f"{name} and its mirror image"] = [first, np.ascontiguousarray(first[:, ::-1])]
    transform = EvalTransform(eval_size, normalization)
    for name, batch in inputs.items():
        height, width = batch[0].shape[:2]
        with torch.no_grad():
            expected = network(torch.stack([transform.image(each) for each in batch]))[..., :height, :width]
            found = exported(torch.stack([normalization(each) for each in batch]))
        yield Comparison(
            name,
            (height, width),
            (expected - found).abs().max().item(),
            expected.abs().max().item(),
            (expected.argmax(1) == found.argmax(1)).double().mean().item(),
        )


def images_to_check(
    given: str | None, data: Mapping[str, Any] | None, eval_size: int, pixels: PixelFormat = RGB
) -> dict[str, Pixels]:
    """Three images (H, W, C) in a format, by name: one of its own size, one reduced, and one enlarged.

    They are files that ``given`` names, or else images of the training data set, or else drawn images. Both sides of
    the reduced image are below ``eval_size``, both sides of the enlarged one above it, unless it is long and narrow.
    """
    if given:
        found = {name: read_pixels(path, pixels) for name, path in _first(find_images(given))}
    else:
        found = _of_data(data, pixels)
    result = {}
    for number, (word, factor) in enumerate((("", None), (", reduced", 3 / 4), (", enlarged", 9 / 8))):
        name = list(found)[number % len(found)]
        sides = found[name].shape[:2]
        zoom = 1.0 if factor is None else factor * eval_size / (max(sides) if factor < 1 else min(sides))
        result[name + word] = _resized(found[name], min(zoom, _LONGEST / max(sides)))
    return result


def _resized(image: Pixels, factor: float) -> Pixels:
    if factor == 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR).reshape(
        height, width, -1
    )


def _first(images: dict[str, Path]) -> list[tuple[str, Path]]:
    return list(images.items())[:3]


def _of_data(data: Mapping[str, Any] | None, pixels: PixelFormat) -> dict[str, Pixels]:
    try:
        split = open_source(data or _DRAWN, allowed=OWN).split("val")
    except UserError:  # the training data set is not on this machine
        split = open_source(_DRAWN).split("val")
    examples = [split[index] for index in range(min(3, len(split)))]
    return {each.id: each.image if split.pixels == pixels else _in_format(each.image, pixels) for each in examples}


def _in_format(image: Pixels, pixels: PixelFormat) -> Pixels:
    """RGB bytes (H, W, 3) as an image of another format, whose channels are red, green and blue again and again."""
    channels = image[..., np.arange(pixels.channels) % 3].astype(pixels.dtype)
    return channels * (257 if pixels.bits == 16 else 1)

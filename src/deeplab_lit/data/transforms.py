"""Transforms of an example into a sample for the network: the papers' augmentation and padding.

No other file uses albumentations. Users add transforms of their own through ``augment.extra``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deeplab_lit.data.crops import scaled_crop, scaled_weights
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.data.split import Example
from deeplab_lit.utils.arrays import Pixels
from deeplab_lit.utils.errors import UserError, closest, one_line

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the internet for a newer version
import albumentations as A

Sample = dict[str, Any]
"""``image``: uint8 or uint16 (C, H, W), such as RGB; ``mask``: uint8 (H, W), void 255; ``id``: str.

A training sample has ``box``, int64 (4,): the first row, the last row + 1, the first column and the last column + 1 of
the image in the crop, the rest of which is padding. If pixels have weights in the loss, it has ``weights``, float32
(H, W), 0 in the padding.

The network's input is computed from the bytes on the device of the training
(:class:`deeplab_lit.data.normalization.NormalizeBytes`). As float32 and int64, a batch would take five times the memory
on its way from a loader process to the device.
"""


class TrainTransform:
    """The training augmentation, in the order of the released data layer: scale, pad, crop, mirror.

    Padding is at the bottom and right. The four steps are one pass, which reads only the part of the image inside
    the crop. The result is that of resizing the whole image (the image linearly, the mask to the nearest pixel).

    Args:
        crop_size: side of the square crop, in pixels; 321 in the papers.
        normalization: the normalisation of the network's weights. Its mean fills the padding of the image; the padding
            of the mask is void.
        scale_range: (low, high) of the continuous random scale, or None.
        scale_list: discrete factors instead of a range, or None.
        flip: mirror each sample with probability 1/2.
        extra: more albumentations transforms, applied to the bytes after the crop.

    Raises:
        UserError: both a range and a list are given, or the crop size or a factor is not positive.
    """

    def __init__(
        self,
        crop_size: int,
        normalization: Normalization,
        scale_range: tuple[float, float] | None = (0.5, 1.5),
        scale_list: Sequence[float] | None = None,
        flip: bool = True,
        extra: Sequence[A.BasicTransform] = (),
    ) -> None:
        if scale_range and scale_list:
            raise UserError(
                f"augment.scale_range={list(scale_range)} and augment.scale_list={list(scale_list)} exclude each "
                "other: set one of them to null."
            )
        if crop_size < 1 or any(factor <= 0 for factor in (*(scale_range or ()), *(scale_list or ()))):
            raise UserError(
                f"crop_size={crop_size} and the scale factors {scale_range or scale_list} must be positive."
            )
        self._crop_size, self._normalization = crop_size, normalization
        self._range, self._list, self._flip = scale_range, tuple(scale_list or ()), flip
        self._extra = A.Compose(list(extra), additional_targets={"weights": "mask"}) if extra else None

    def __call__(self, example: Example, seed: int) -> Sample:
        """Augment one example; the sample depends on the example and ``seed`` alone."""
        draw, side = np.random.default_rng(seed), self._crop_size
        factor = self._factor(draw)
        height, width = (max(1, round(length * factor)) for length in example.mask.shape)
        top, left = (int(draw.integers(max(0, length - side) + 1)) for length in (height, width))
        mirrored = self._flip and draw.random() < 0.5
        image, mask = scaled_crop(
            example.image, example.mask, (height, width), (top, left), side, mirrored, self._normalization.fill
        )
        more = {}
        if example.weights is not None:
            more["weights"] = scaled_weights(example.weights, (height, width), (top, left), side, mirrored)
        if self._extra:
            # albumentations has a generator of its own, whose state all worker processes would share
            self._extra.set_random_seed(seed)
            result = self._extra(image=image, mask=mask, **more)
            image, mask, more = result["image"], result["mask"], {name: result[name] for name in more}
            if image.dtype != example.image.dtype:
                raise UserError(
                    f"augment.extra makes {image.dtype} of the images: each transform keeps bytes, or 16 bits, so "
                    "leave out those that normalise."
                )
        rows, columns = min(side, height - top), min(side, width - left)
        first = side - columns if mirrored else 0
        return {
            "image": _channels_first(image),
            "mask": torch.from_numpy(mask),
            "id": example.id,
            "box": torch.tensor([0, rows, first, first + columns]),
            **{name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in more.items()},
        }

    def _factor(self, draw: np.random.Generator) -> float:
        if self._list:
            return float(draw.choice(self._list))
        return float(draw.uniform(*self._range)) if self._range else 1.0


def padded_side(side: int, least: int, stride: int = 8) -> int:
    """The height or width in pixels that an image is padded to: a multiple of the stride plus 1, at least ``least``.

    In integers that are not negative, since exported graphs divide towards zero, and with ``torch.sym_max``, since the
    sizes of an image are symbols while a network is exported.
    """
    padded: int = torch.sym_max(least, (side + stride - 2) // stride * stride + 1)  # type: ignore[assignment]
    return padded


class EvalTransform:
    """The whole image, padded at the bottom and right as in the papers, never resized.

    Args:
        size: the least height and width in pixels (513 in the papers). A larger side is padded to the next multiple of
            ``stride`` plus 1, so that the corners of image and score map coincide.
        normalization: the normalisation of the network's weights.
        stride: the output stride of the network.
    """

    def __init__(self, size: int, normalization: Normalization, stride: int = 8) -> None:
        self._size, self._stride, self._normalization = size, stride, normalization

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input for an image of this height and width."""
        return padded_side(height, self._size, self._stride), padded_side(width, self._size, self._stride)

    def image(self, image: Pixels) -> Tensor:
        """An image (H, W, C) as the network's input, float32 (C, padded H, padded W)."""
        return self._normalization(image, self.padded_size(*image.shape[:2]))

    def __call__(self, example: Example) -> Sample:
        """The sample of an example. Padding has the colour of the mean in the image, and is void in the mask."""
        height, width = example.mask.shape
        size = self.padded_size(height, width)
        image, mask = np.empty((*size, example.image.shape[2]), example.image.dtype), np.full(size, VOID, np.uint8)
        image[:] = self._normalization.fill
        image[:height, :width], mask[:height, :width] = example.image, example.mask
        return {"image": _channels_first(image), "mask": torch.from_numpy(mask), "id": example.id}


def _channels_first(image: Pixels) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def extra_transforms(configs: Sequence[Mapping[str, Any]], pixels: PixelFormat = RGB) -> list[A.BasicTransform]:
    """Albumentations transforms from ``[{name: RandomBrightnessContrast, p: 0.5}, ...]``.

    Args:
        configs: the name and the arguments of each.
        pixels: the format of the images; each transform is tried on an image of another format than RGB bytes.

    Raises:
        UserError: albumentations does not have the name, or does not take the arguments or such images.
    """
    found = []
    for config in configs:
        arguments = dict(config)
        name = str(arguments.pop("name", ""))
        kind = getattr(A, name, None)
        if not (isinstance(kind, type) and issubclass(kind, A.BasicTransform)):
            raise UserError(f"augment.extra names {name!r}, which albumentations does not have.{closest(name, dir(A))}")
        try:
            found.append(kind(**arguments))
        except (TypeError, ValueError) as error:
            raise UserError(f"augment.extra: {name}({arguments}) is refused by albumentations: {error}") from error
        if pixels != RGB:
            _try(name, kind(**{**arguments, "p": 1.0}), pixels)
    return found


def _try(name: str, transform: A.BasicTransform, pixels: PixelFormat) -> None:
    """Raise UserError unless a transform takes images of a format, and keeps the format."""
    side = 128
    image = np.random.default_rng(0).integers(0, pixels.largest, (side, side, pixels.channels)).astype(pixels.dtype)
    try:
        found = A.Compose([transform])(image=image, mask=np.zeros((side, side), np.uint8))["image"]
        right = found.dtype == image.dtype and found.shape[2:] == image.shape[2:]
        why = "" if right else f"it makes {found.dtype} {found.shape} of {image.dtype} {image.shape}"
    except Exception as error:  # of albumentations, OpenCV and NumPy
        why = one_line(error)
    if why:
        raise UserError(f"augment.extra: {name} does not take images with {pixels}, so leave it out ({why}).")

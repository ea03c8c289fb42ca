"""Normalisation of images for the network: mean, standard deviation and order of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt
from numpy.typing import NDArray
from torch import Tensor

from deeplab_lit.data.crops import planes
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.utils.arrays import Pixels
from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class Normalization:
    """The conversion of images to network input, which is saved with the network's weights.

    Args:
        mean: subtracted from each channel, as red, green and blue, which run from 0 to 255, or 65535 for 16 bits.
        std: divides each channel after the subtraction.
        bgr: order the first three channels as blue, green, red, which Caffe networks expect.
        bits: of the images, 8 or 16.
    """

    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    bgr: bool = False
    bits: int = 8

    @classmethod
    def chosen(cls, value: Any) -> Normalization:
        """The normalisation of ``"imagenet"``, ``"bgr_bytes"``, or a mapping of mean, std and bgr.

        Raises:
            UserError: ``value`` is none of these.
        """
        if isinstance(value, str) and value in _NAMED:
            return _NAMED[value]
        if isinstance(value, Mapping) and {"mean", "std"} <= value.keys() <= {"mean", "std", "bgr", "bits"}:
            return cls.of(value["mean"], value["std"], bool(value.get("bgr", False)), value.get("bits", 8))
        raise UserError(
            f"normalization={value!r}: choose {', '.join(_NAMED)}, or give {{mean: [R, G, B], std: [R, G, B], bgr: "
            "false}."
        )

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float], bgr: bool, bits: int = 8) -> Normalization:
        """The normalisation of lists, as configs and checkpoints hold them.

        Raises:
            UserError: ``mean`` and ``std`` do not have a number for each channel, ``std`` is not positive, or ``bgr``
                is set for less than three channels.
        """
        if len(mean) != len(std) or not mean or min(std) <= 0 or (bgr and len(mean) < 3) or bits not in (8, 16):
            raise UserError(
                f"normalization mean={mean}, std={std}, bgr={bgr}, bits={bits}: give a number for each channel, three "
                "of RGB, the std positive."
            )
        first, second = (tuple(float(each) for each in values) for values in (mean, std))
        return cls(first, second, bgr, bits)

    @property
    def pixels(self) -> PixelFormat:
        """The format of the images."""
        return PixelFormat(len(self.mean), self.bits)

    def in_bits(self, bits: int) -> Normalization:
        """The same normalisation of images with so many bits: white stays white."""
        factor = PixelFormat(bits=bits).largest / self.pixels.largest
        mean, std = (tuple(value * factor for value in values) for values in (self.mean, self.std))
        return self if bits == self.bits else Normalization(mean, std, self.bgr, bits)

    def __call__(self, image: Pixels, size: tuple[int, int] | None = None) -> Tensor:
        """The network input, float32 (C, H, W), of an image (H, W, C).

        With ``size`` it is (C, *size), padded at the bottom and right with :attr:`fill`.
        """
        table, channels = self._table
        out = np.empty((len(channels), *(size or image.shape[:2])), np.float32)
        height, width = image.shape[:2]
        for c, channel in enumerate(channels):
            out[c, height:] = table[c, self.fill[channel]]
            out[c, :height, width:] = table[c, self.fill[channel]]
        planes(image, table, channels, out)
        return torch.from_numpy(out)

    @cached_property
    def _table(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What each value becomes in each plane (C, 256 or 65536), and the image's channel in each plane (C,)."""
        channels = np.array(self.order)
        mean, std = (np.array(values, np.float32)[channels, None] for values in (self.mean, self.std))
        return (np.arange(self.pixels.largest + 1, dtype=np.float32) - mean) / std, channels

    @property
    def order(self) -> list[int]:
        """The image's channel in each plane of the input."""
        every = list(range(len(self.mean)))
        return [2, 1, 0, *every[3:]] if self.bgr else every

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        kind = "BGR" if self.bgr else "RGB"
        if self.pixels != RGB:
            kind = f"{self.pixels}{', BGR first,' if self.bgr else ''}"
        return f"{kind} minus {mean} over {std}"

    @property
    def fill(self) -> tuple[int, ...]:
        """The values of the channels nearest to the mean, such as RGB bytes, which fill the padding."""
        return tuple(round(value) for value in self.mean)


class NormalizeBytes:
    """A normalisation of whole batches, computed on their device, in float32.

    The values are those of ``normalization`` to the bit on a CPU.

    Args:
        normalization: the normalisation of the network's weights.
    """

    def __init__(self, normalization: Normalization) -> None:
        self._order, order = normalization.order if normalization.bgr else None, normalization.order
        values = (normalization.mean, normalization.std)
        self._mean, self._std = (torch.tensor([each[c] for c in order])[None, :, None, None] for each in values)

    def __call__(self, image: UInt[Tensor, "batch bands height width"]) -> Float[Tensor, "batch bands height width"]:
        if self._mean.device != image.device:  # once
            self._mean, self._std = self._mean.to(image.device), self._std.to(image.device)
        if image.dtype == torch.uint16:  # which devices convert, and little else
            image = image.to(torch.float32)
        if self._order:
            image = image.flip(1) if image.shape[1] == 3 else image[:, self._order]
        return image.to(torch.float32).sub_(self._mean).div_(self._std)


IMAGENET = Normalization()
BGR_BYTES = Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
"""The normalisation of the released networks: BGR, 0 to 255, minus the mean."""

_NAMED = {"imagenet": IMAGENET, "bgr_bytes": BGR_BYTES}

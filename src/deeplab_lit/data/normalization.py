"""Normalisation of images for the network: mean, standard deviation and order of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from deeplab_lit.data.crops import planes
from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class Normalization:
    """The conversion of RGB bytes to network input, which is saved with the network's weights.

    Args:
        mean: subtracted from red, green and blue, which run from 0 to 255.
        std: divides red, green and blue after the subtraction.
        bgr: order the channels as blue, green, red, which Caffe networks expect.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    bgr: bool = False

    @classmethod
    def chosen(cls, value: Any) -> Normalization:
        """The normalisation of ``"imagenet"``, ``"bgr_bytes"``, or a mapping of mean, std and bgr.

        Raises:
            UserError: ``value`` is none of these.
        """
        if isinstance(value, str) and value in _NAMED:
            return _NAMED[value]
        if isinstance(value, Mapping) and {"mean", "std"} <= value.keys() <= {"mean", "std", "bgr"}:
            return cls.of(value["mean"], value["std"], bool(value.get("bgr", False)))
        raise UserError(
            f"normalization={value!r}: choose {', '.join(_NAMED)}, or give {{mean: [R, G, B], std: [R, G, B], bgr: "
            "false}."
        )

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float], bgr: bool) -> Normalization:
        """The normalisation of lists, as configs and checkpoints hold them.

        Raises:
            UserError: ``mean`` or ``std`` does not have three numbers, or ``std`` is not positive.
        """
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise UserError(f"normalization mean={mean}, std={std}: give three numbers each, the std positive.")
        first, second = (tuple(float(each) for each in values) for values in (mean, std))
        return cls(first, second, bgr)  # type: ignore[arg-type]

    def __call__(self, image: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Tensor:
        """The network input, float32 (3, H, W), of RGB bytes (H, W, 3).

        With ``size`` it is (3, *size), padded at the bottom and right with :attr:`fill`.
        """
        table, channels = self._table
        out = np.empty((3, *(size or image.shape[:2])), np.float32)
        height, width = image.shape[:2]
        for c, channel in enumerate(channels):
            out[c, height:] = table[c, self.fill[channel]]
            out[c, :height, width:] = table[c, self.fill[channel]]
        planes(image, table, channels, out)
        return torch.from_numpy(out)

    @cached_property
    def _table(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The value of each byte in each plane (3, 256), and the image's channel in each plane (3,)."""
        channels = np.array([2, 1, 0] if self.bgr else [0, 1, 2])
        mean, std = (np.array(values, np.float32)[channels, None] for values in (self.mean, self.std))
        return (np.arange(256, dtype=np.float32) - mean) / std, channels

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{'BGR' if self.bgr else 'RGB'} minus {mean} over {std}"

    @property
    def fill(self) -> tuple[int, int, int]:
        """The RGB bytes nearest to the mean, which fill the padding."""
        red, green, blue = (round(value) for value in self.mean)
        return red, green, blue


class NormalizeBytes:
    """A normalisation of whole batches, computed on their device, in float32.

    The values are those of ``normalization`` to the bit on a CPU.

    Args:
        normalization: the normalisation of the network's weights.
    """

    def __init__(self, normalization: Normalization) -> None:
        self._flipped = normalization.bgr
        order = slice(None, None, -1 if normalization.bgr else 1)
        values = (normalization.mean, normalization.std)
        self._mean, self._std = (torch.tensor(each[order])[None, :, None, None] for each in values)

    def __call__(self, image: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        if self._mean.device != image.device:  # once
            self._mean, self._std = self._mean.to(image.device), self._std.to(image.device)
        image = image.flip(1) if self._flipped else image
        return image.to(torch.float32).sub_(self._mean).div_(self._std)


IMAGENET = Normalization()
BGR_BYTES = Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
"""The normalisation of the released networks: BGR, 0 to 255, minus the mean."""

_NAMED = {"imagenet": IMAGENET, "bgr_bytes": BGR_BYTES}

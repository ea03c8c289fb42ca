"""From bytes to network input: mean, deviation and order of channels, which belong to the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab_lit.data.crops import planes
from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class Normalization:
    """How bytes become network input; it belongs to the weights and travels with them.

    Args:
        mean: subtracted from red, green and blue, 0 to 255.
        std: divides red, green and blue afterwards.
        bgr: hand the channels over as blue, green, red, as Caffe networks expect.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    bgr: bool = False

    @classmethod
    def chosen(cls, value: Any) -> Normalization:
        """From ``"imagenet"``, ``"bgr_bytes"``, or a mapping of mean, std and bgr; raises UserError for others."""
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
        """From lists, as configs and checkpoints hold them; raises UserError unless each has three numbers."""
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise UserError(f"normalization mean={mean}, std={std}: give three numbers each, the std positive.")
        return cls((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), bgr)

    def __call__(self, image: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Tensor:
        """RGB bytes (H, W, 3) -> float32 (3, H, W), or (3, *size), filled at the bottom and right with :attr:`fill`."""
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
        """What each byte becomes in each plane (3, 256), and the channel that each plane is made of (3,)."""
        channels = np.array([2, 1, 0] if self.bgr else [0, 1, 2])
        mean, std = (np.array(values, np.float32)[channels, None] for values in (self.mean, self.std))
        return (np.arange(256, dtype=np.float32) - mean) / std, channels

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{'BGR' if self.bgr else 'RGB'} minus {mean} over {std}"

    @property
    def fill(self) -> tuple[int, int, int]:
        """The RGB bytes nearest to the mean, for padding."""
        red, green, blue = (round(value) for value in self.mean)
        return red, green, blue


IMAGENET = Normalization()
BGR_BYTES = Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
"""The released nets' input: BGR, 0 to 255, minus the mean."""

_NAMED = {"imagenet": IMAGENET, "bgr_bytes": BGR_BYTES}

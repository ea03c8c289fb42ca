"""Pixel format of the images of a data set or of a network's input: number of channels, and bits of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class PixelFormat:
    """The format of an image (H, W, C): ``channels``, and 8 or 16 ``bits`` each, which run from 0 to ``largest``."""

    channels: int = 3
    bits: int = 8

    @classmethod
    def chosen(cls, channels: int, bits: int, group: str = "data.") -> PixelFormat:
        """The format of the keys ``data.channels`` and ``data.bits``, or of those of another ``group``.

        Raises:
            UserError: there is no channel, or another number of bits.
        """
        if type(channels) is not int or channels < 1:
            raise UserError(f"{group}channels={channels}: it is a whole number, at least 1.")
        if bits not in (8, 16):
            raise UserError(f"{group}bits={bits}: choose 8 or 16.")
        return cls(channels, bits)

    @property
    def largest(self) -> int:
        return int(2**self.bits - 1)

    @property
    def dtype(self) -> DTypeLike:
        return np.uint8 if self.bits == 8 else np.uint16

    def __str__(self) -> str:
        return f"{self.channels} channel{'s' if self.channels != 1 else ''} of {self.bits} bits"


RGB = PixelFormat()
"""Three channels of 8 bits: the format of all data sets unless they are told another."""

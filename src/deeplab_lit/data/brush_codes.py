"""Brush codes: the run lengths in which Label Studio keeps a brush stroke, those of thi.ng's library rle-pack.

A code is a stream of bits: the number of words (32 bits), the bits of a word less one (5), and four lengths less one (4
bits each). Runs follow. A run begins with one bit and the index of a length (2 bits). A number of that length plus one
is the run's number of words. If the first bit is set, one word follows, which all words of the run equal; otherwise all
words follow. The words are the red, green, blue and alpha of each pixel, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deeplab_lit.data.regions import Pixels
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_HEADER = 32 + 5 + 4 * 4  # bits
_WORD = 8


@dataclass(frozen=True)
class Brush:
    """A brush stroke, which covers the pixels that it makes at least half opaque.

    Args:
        code: the bytes of the brush code as a list of numbers.
    """

    code: Any

    def pixels(self, height: int, width: int, where: str) -> Pixels:
        words = decoded(self.code, 4 * height * width, f"{where}, whose image is {width}x{height},")
        covered: Pixels = words[3::4].reshape(height, width) >= 128
        return covered


def decoded(code: Any, count: int, where: str) -> Bytes:
    """The words of a brush code.

    Args:
        code: its bytes as a list of numbers.
        count: the number of words that it has to have.
        where: the name of the region, for messages.

    Raises:
        UserError: ``code`` is no brush code, or has another number of words.
    """
    if not isinstance(code, list) or not all(type(each) is int and 0 <= each < 256 for each in code):
        raise UserError(f"{where} has a brush code that is no list of bytes.")
    bits = _Bits(np.array([*code, 0], np.uint8))  # read_words looks one byte ahead
    if 8 * len(code) < _HEADER or (given := bits.read(32)) != count:
        raise UserError(f"{where} has a brush code of another size: export the JSON again.")
    if bits.read(5) + 1 != _WORD:
        raise UserError(f"{where} has a brush code whose words are not bytes.")
    lengths = [bits.read(4) + 1 for _ in range(4)]
    words, done = np.zeros(given, np.uint8), 0
    while done < given:
        is_repeated = bits.read(1)
        run = bits.read(lengths[bits.read(2)]) + 1
        if run > given - done or bits.left < (_WORD if is_repeated else run * _WORD):
            raise UserError(f"{where} has a brush code that is cut short or damaged.")
        words[done : done + run] = bits.read(_WORD) if is_repeated else bits.read_words(run)
        done += run
    return words


class _Bits:
    """A stream of bits, from the highest of the first byte on; beyond the end there are zeros."""

    def __init__(self, content: Bytes) -> None:
        self._array, self._bytes, self._at = content, content.tobytes(), 0

    @property
    def left(self) -> int:
        return 8 * (len(self._bytes) - 1) - self._at

    def read(self, bits: int) -> int:
        end = self._at + bits
        last = (end + 7) // 8
        value = int.from_bytes(self._bytes[self._at // 8 : last].ljust(last - self._at // 8, b"\0"), "big")
        self._at = end
        return value >> (8 * last - end) & ((1 << bits) - 1)

    def read_words(self, count: int) -> Bytes:
        first, shift = divmod(self._at, 8)
        wide = self._array[first : first + count + 1].astype(np.uint16)
        self._at += count * _WORD
        return ((wide[:-1] << shift | wide[1:] >> (8 - shift)) & 255).astype(np.uint8)

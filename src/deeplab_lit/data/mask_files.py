"""Mask files: reading of class indices from index masks, masks of other numbers, colour masks and binary masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.data.image_files import FORMATS
from deeplab_lit.data.labels import VOID, Colour, LabelSet, voc_colour
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_COLOURED = ("RGB", "RGBA")
_VOID_COLOUR = voc_colour(VOID)
_LARGEST = 65535  # the largest value of 16 bits
_SINGLE = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L")  # palette, grey, two levels, 16 bits


Packed = NDArray[np.uint32]
"""RGB colours (H, W) as red + 256 green + 65536 blue."""


@dataclass(frozen=True)
class MaskCoding:
    """How the pixels of mask files stand for classes.

    Attributes:
        names: the class names, for messages; with ``colours`` only.
        colours: the RGB colour of each class, which the pixels of RGB masks have; empty: RGB masks are refused.
        void: the RGB colour of void.
        binary: masks hold two values, and 255 is the class 1 instead of void.
        values: for masks of one channel whose pixel values are a data set's own numbers: each value that may occur,
            with its class index, or 255 for void; empty: the values are the class indices.
    """

    names: tuple[str, ...] = ()
    colours: tuple[Colour, ...] = ()
    void: Colour = _VOID_COLOUR
    binary: bool = False
    values: tuple[tuple[int, int], ...] = ()


INDICES = MaskCoding()
"""The coding of masks whose pixel values are class indices, and 255 for void."""


def coloured(labels: LabelSet, void: Colour | None = None) -> MaskCoding:
    """The coding of masks in the colours of ``labels``; void has VOC's colour unless given."""
    return MaskCoding(labels.names, labels.palette, void or _VOID_COLOUR)


_SPREAD = {"L;2": 85, "L;4": 17}
"""By what Pillow multiplies the values of grey PNGs of 2 and 4 bits, so that the largest is white."""


def read_mask(path: Path, coding: MaskCoding = INDICES) -> Bytes:
    """Read a mask file as class indices, uint8 (H, W).

    A picture of one channel (palette, grey, 16 bits, two levels) holds indices, or the values of ``coding``, whatever
    its palette. The colours of an RGB picture are looked up in ``coding``.

    Raises:
        UserError: the file cannot be read, or holds a value or a colour that stands for no class.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            if file.mode in _COLOURED:
                return _of_colours(file, coding, path)
            if file.mode not in _SINGLE:
                raise UserError(
                    f"{path} is a picture of mode {file.mode}: masks are PNGs of one channel (palette or grey) whose "
                    "pixel values are class indices, or RGB PNGs in the colours of the class list."
                )
            spread = _SPREAD.get(str(file.tile[0][3]) if file.tile else "", 1)
            values = np.array(file) // spread if spread > 1 else np.array(file)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a mask ({error}): replace it or take it off the list.") from error
    if coding.values:
        return _of_own_numbers(values, coding, path)
    if values.dtype not in (np.uint8, bool) and (values.min() < 0 or values.max() > VOID):
        raise UserError(
            f"{path} has the value {values.max()}: the pixel values of masks are class indices from 0 to 254, and 255 "
            "for void."
        )
    indices = values.astype(np.uint8, copy=False)
    return _of_two_values(indices, path) if coding.binary else indices


def _of_two_values(values: Bytes, path: Path) -> Bytes:
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist()
    if not (set(found) <= {0, 1} or set(found) <= {0, VOID}):
        raise UserError(
            f"{path} has the values {', '.join(map(str, found[:8]))}{', ...' if len(found) > 8 else ''}: with "
            "data.binary=true masks hold 0 and 255 (or 0 and 1), and no void; save it without smoothing, or type "
            "data.binary=false for masks of class indices."
        )
    return (values > 0).astype(np.uint8)


def _of_own_numbers(values: NDArray[Any], coding: MaskCoding, path: Path) -> Bytes:
    # values outside the table, -1 among them, are looked up at its last place
    values = values.astype(np.uint8) if values.dtype == bool else values
    places = values if values.dtype.itemsize < 4 else np.clip(values, -1, _LARGEST + 1)
    indices = _table_of_values(coding)[places]
    unknown = indices < 0
    if unknown.any():
        found, counts = np.unique(values[unknown], return_counts=True)
        raise UserError(
            f"{path} has {counts.max()} pixel(s) of the value {found[counts.argmax()]}"
            + (f", and {len(found) - 1} other value(s)," if len(found) > 1 else ",")
            + f" which no class has: the values of these masks are {_ranges([value for value, _ in coding.values])}; "
            "replace it or take it off the list."
        )
    return indices.astype(np.uint8)


@lru_cache(2)
def _table_of_values(coding: MaskCoding) -> NDArray[np.int16]:
    """The index of each value of up to 16 bits, and -1 for values that no class has, as at one more place."""
    table = np.full(_LARGEST + 2, -1, np.int16)
    for value, index in coding.values:
        table[value] = index
    return table


def _ranges(values: Sequence[int]) -> str:
    """Numbers in words, such as ``"0 to 18, 255"``."""
    parts: list[list[int]] = []
    for value in sorted(values):
        if parts and value == parts[-1][-1] + 1:
            parts[-1][1:] = [value]
        else:
            parts.append([value])
    return ", ".join(" to ".join(map(str, part)) for part in parts)


def _of_colours(picture: Image.Image, coding: MaskCoding, path: Path) -> Bytes:
    packed = np.asarray(picture.convert("RGBA")).view("<u4")[..., 0] & np.uint32(0xFFFFFF)
    if not coding.colours:
        raise UserError(
            f"{path} is a picture of mode {picture.mode}, with the colours {_listed(packed)}: masks of colours need a "
            "class list with the line `name R G B` for each class, such as `road 128 64 128` (data.classes=FILE of a "
            "data set, or classes=FILE); other masks have one channel, whose pixel values are class indices."
        )
    indices = _table(coding).take(packed)
    # the table has void for unknown colours too
    unknown = packed[(indices == VOID) & (packed != _packed(coding.void))]
    if unknown.size:
        raise UserError(f"{path} {_unknown(unknown, coding)}")
    return indices


@lru_cache(2)
def _table(coding: MaskCoding) -> Bytes:
    """The index of each packed colour (2^24,), 16 MB: this lookup is 100 times as fast as a comparison per class."""
    table = np.full(1 << 24, VOID, np.uint8)
    for index, colour in enumerate(coding.colours):
        first = coding.colours.index(colour)
        if first != index:
            raise UserError(
                f"the classes {coding.names[first]!r} and {coding.names[index]!r} have the same colour {colour}: masks "
                "of colours need a colour of its own for each class."
            )
        table[_packed(colour)] = index
    return table


def _packed(colour: Colour) -> int:
    return colour[0] | colour[1] << 8 | colour[2] << 16


def _unpacked(packed: int) -> Colour:
    return packed & 255, packed >> 8 & 255, packed >> 16


def _counted(packed: Packed) -> list[tuple[Colour, int]]:
    """Each colour and the number of its pixels, from the most frequent on."""
    colours, counts = np.unique(packed, return_counts=True)
    return [(_unpacked(int(colours[i])), int(counts[i])) for i in np.argsort(-counts, kind="stable")]


def _listed(packed: Packed) -> str:
    found = _counted(packed)
    return ", ".join(str(colour) for colour, _ in found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")


def _unknown(packed: Packed, coding: MaskCoding) -> str:
    """What is wrong with pixels whose colours stand in no list."""
    found = _counted(packed)
    (colour, pixels), others = found[0], len(found) - 1
    known = np.array([*coding.colours, coding.void], np.int64)
    nearest = int(((known - colour) ** 2).sum(1).argmin())
    name = repr(coding.names[nearest]) if nearest < len(coding.names) else "void"
    return (
        f"has {pixels} pixel(s) of the colour {colour}"
        + (f", and {others} other colour(s)," if others else ",")
        + f" which no class has; the nearest is {tuple(known[nearest].tolist())} of {name}: add the line `name R G B` "
        "to the class list (`255 void R G B` for void), or save the mask without compression loss and smoothing."
    )

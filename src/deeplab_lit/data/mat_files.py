"""MAT files of MATLAB (versions 5 to 7), as SBD's annotations are: reading of a byte matrix in a field of a struct.

SciPy's reader knows the whole format, but some damaged files crash its process. This reader takes files of any origin.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_MATRIX, _COMPRESSED, _BYTES = 14, 15, 2  # element types
_STRUCT, _UINT8 = 2, 9  # matrix classes
_MOST = 1 << 28  # the most bytes that an element may decompress to


def byte_matrix(content: bytes, variable: str, name: str) -> NDArray[np.uint8]:
    """The uint8 matrix (H, W) in field ``name`` of the first entry of the struct ``variable``.

    Raises:
        KeyError: the file has no such variable, or the variable no such field.
        TypeError: the field is not a matrix of bytes.
        ValueError: the file has another format, or is damaged.
    """
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI") or content[:4] == b"\0\0\0\0":
        raise ValueError("not a MATLAB file of version 5 to 7")
    order = "<" if content[126:128] == b"IM" else ">"
    for kind, data in _elements(content[128:], order):
        if kind == _COMPRESSED:
            kind, data = next(_elements(_unpacked(data), order), (0, b""))
        if kind == _MATRIX and (found := _field(data, order, variable, name)) is not None:
            return found
    raise KeyError(variable)


def _unpacked(data: bytes) -> bytes:
    packed = zlib.decompressobj()
    try:
        found = packed.decompress(data, _MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if packed.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_MOST} bytes")
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The type and the content of each element in ``data``; ``order`` is the byte order."""
    at = 0
    while at < len(data):
        try:
            first, size = struct.unpack_from(f"{order}II", data, at)
        except struct.error as error:
            raise ValueError("it is cut off") from error
        begin = at + 8
        if first >> 16:  # a small element: its content is at the place of the size
            first, size, begin = first & 0xFFFF, first >> 16, at + 4
        if begin + size > len(data) or (begin == at + 4 and size > 4):
            raise ValueError("it is cut off")
        yield first, data[begin : begin + size]
        at = at + 8 if begin == at + 4 else begin + size + (0 if first == _COMPRESSED else -size % 8)


def _head(parts: Iterator[tuple[int, bytes]], order: str) -> tuple[int, tuple[int, ...], str]:
    """The class, the dimensions and the name of a matrix, from its first three elements."""
    try:
        flags, dims, name = (next(parts)[1] for _ in range(3))
    except RuntimeError as error:  # StopIteration in the generator expression
        raise ValueError("it is cut off") from error
    if len(flags) < 4 or len(dims) % 4:
        raise ValueError("a matrix has no class or no dimensions")
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    return struct.unpack(f"{order}I", flags[:4])[0] & 0xFF, shape, name.decode("latin-1")


def _field(data: bytes, order: str, variable: str, name: str) -> NDArray[np.uint8] | None:
    parts = _elements(data, order)
    kind, shape, own = _head(parts, order)
    if own != variable:
        return None
    if kind != _STRUCT or math.prod(shape) < 1:
        raise KeyError(name)
    (_, width), (_, text) = next(parts, (0, b"")), next(parts, (0, b""))
    length = struct.unpack(f"{order}i", width)[0] if len(width) == 4 else 0
    if length < 1:
        raise ValueError("a struct has no names of fields")
    names = [text[i : i + length].split(b"\0", 1)[0].decode("latin-1") for i in range(0, len(text), length)]
    for each, (_, value) in zip(names, parts, strict=False):
        if each == name:
            return _bytes(value, order)
    raise KeyError(name)


def _bytes(data: bytes, order: str) -> NDArray[np.uint8]:
    parts = _elements(data, order)
    kind, shape, _ = _head(parts, order)
    if kind != _UINT8 or len(shape) != 2:
        raise TypeError("no matrix of bytes")
    stored, content = next(parts, (0, b""))
    if stored != _BYTES or min(shape) < 0 or math.prod(shape) != len(content):
        raise ValueError("a matrix does not fill its dimensions")
    return np.frombuffer(content, np.uint8).reshape(shape, order="F").copy()

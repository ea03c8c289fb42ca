"""MAT files of MATLAB (versions 5 to 7), as annotations of data sets are: reading of one variable.

SciPy's reader knows the whole format, but some damaged files crash its process. This reader takes files of any origin.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.utils.errors import UserError

_MATRIX, _COMPRESSED = 14, 15  # element types
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_UTF16 = (4, 17)  # element types of text with two bytes a character
_CELL, _STRUCT, _TEXT, _NUMBERS = 1, 2, 4, range(6, 16)  # matrix classes
_MOST = 1 << 28  # the most bytes that an element may decompress to
_DEEPEST = 16  # structs and cell arrays inside each other


def read_mat(path: Path, variable: str, archive: str) -> Any:
    """The value of a variable of a file, as :func:`read_variable` gives it.

    Args:
        path: the file.
        variable: the name of the variable.
        archive: what the file is a part of, for messages.

    Raises:
        UserError: the file does not exist, has another format, or is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist, but the lists name it: extract {archive} again.")
    try:
        return read_variable(path.read_bytes(), variable)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as a .mat file: {error}.") from error


def read_variable(content: bytes, variable: str) -> Any:
    """The value of ``variable`` in the content of a file; None: the file has no such variable.

    A matrix of numbers is an array of the type that the file stores them in, for MATLAB stores the whole numbers of a
    double matrix as small integers. Text is a str. A cell array is a list of its cells, and a struct array a list of
    dicts, one for each entry, both in column-major order. Everything else, such as a sparse matrix, is None.

    Raises:
        ValueError: the file has another format, or is damaged.
    """
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI") or content[:4] == b"\0\0\0\0":
        raise ValueError("not a MATLAB file of version 5 to 7")
    order = "<" if content[126:128] == b"IM" else ">"
    for kind, data in _elements(memoryview(content)[128:], order):
        if kind == _COMPRESSED:
            kind, data = next(_elements(_unpacked(data), order), (0, data))
        if kind == _MATRIX and _head(_elements(data, order), order)[2] == variable:
            return _value(data, order, _DEEPEST)
    return None


def struct_entries(value: Any) -> list[dict[str, Any]]:
    """The entries of a struct array that :func:`read_variable` gave; an empty list for any other value."""
    is_struct = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    return value if is_struct else []


def _unpacked(data: memoryview) -> memoryview:
    packed = zlib.decompressobj()
    try:
        found = packed.decompress(data, _MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if packed.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_MOST} bytes")
    return memoryview(found)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
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


def _next(parts: Iterator[tuple[int, memoryview]]) -> tuple[int, memoryview]:
    found = next(parts, None)
    if found is None:
        raise ValueError("it is cut off")
    return found


def _head(parts: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, tuple[int, ...], str]:
    """The class, the dimensions and the name of a matrix, from its first three elements."""
    flags, dims, name = (_next(parts)[1] for _ in range(3))
    if len(flags) < 4 or len(dims) % 4 or len(dims) < 8:
        raise ValueError("a matrix has no class or no dimensions")
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    if min(shape) < 0:
        raise ValueError("a matrix has a negative dimension")
    return struct.unpack(f"{order}I", flags[:4])[0] & 0xFF, shape, bytes(name).decode("latin-1")


def _value(data: memoryview, order: str, depth: int) -> Any:
    """The value of a matrix; ``depth`` is how many more matrices may be inside each other."""
    if not len(data):  # a cell or a field without a value
        return None
    if not depth:
        raise ValueError(f"more than {_DEEPEST} structs or cell arrays are inside each other")
    parts = _elements(data, order)
    kind, shape, _ = _head(parts, order)
    if kind in _NUMBERS:
        return _numbers(*_next(parts), shape, order)
    if kind == _TEXT:
        stored, text = _next(parts)
        wide = "utf-16-le" if order == "<" else "utf-16-be"
        return bytes(text).decode(wide if stored in _UTF16 else "latin-1", errors="replace")
    if kind == _CELL:
        return [_matrix(parts, order, depth) for _ in range(math.prod(shape))]
    if kind == _STRUCT:
        names = _field_names(parts, order)
        if not names:
            return []
        return [{name: _matrix(parts, order, depth) for name in names} for _ in range(math.prod(shape))]
    return None


def _matrix(parts: Iterator[tuple[int, memoryview]], order: str, depth: int) -> Any:
    kind, data = _next(parts)
    if kind != _MATRIX:
        raise ValueError("a struct or a cell array holds something else than matrices")
    return _value(data, order, depth - 1)


def _numbers(stored: int, content: memoryview, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    if stored not in _STORED:
        raise ValueError(f"a matrix stores its numbers as type {stored}")
    kind = np.dtype(order + _STORED[stored])
    if math.prod(shape) * kind.itemsize != len(content):
        raise ValueError("a matrix does not fill its dimensions")
    return np.frombuffer(content, kind).reshape(shape, order="F")


def _field_names(parts: Iterator[tuple[int, memoryview]], order: str) -> list[str]:
    width, text = _next(parts)[1], bytes(_next(parts)[1])
    length = struct.unpack(f"{order}i", width)[0] if len(width) == 4 else 0
    if length < 1:
        raise ValueError("a struct has no names of fields")
    return [text[i : i + length].split(b"\0", 1)[0].decode("latin-1") for i in range(0, len(text), length)]

"""Memory that a thread keeps from one image to the next: fresh pages cost as much as an iteration of the mean field."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

Room = Callable[[str, tuple[int, ...], Any], Any]
"""From a name, a shape and a type to an array with anything in it."""

_LINE = 64  # bytes of a cache line, where arrays begin


def fresh(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Memory of its own, for arrays that are kept."""
    return np.empty(shape, dtype)


class _Kept(threading.local):
    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        held = self.held.get(name)
        if held is None or len(held) < size + _LINE:
            self.held.pop(name, None)
            held = self.held[name] = np.empty(size + size // 8 + _LINE, np.uint8)
        first = -held.ctypes.data % _LINE
        return held[first : first + size].view(dtype).reshape(shape)


kept = _Kept()
"""The calling thread's own memory: what had this name before is overwritten."""

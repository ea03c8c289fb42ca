"""Buffers: arrays in memory that a thread reuses, since new pages cost as much as an iteration of the mean field."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

Allocate = Callable[[str, tuple[int, ...], Any], Any]
"""From a name, a shape and a type to an array with anything in it."""

_LINE = 64  # bytes of a cache line; arrays are aligned to it


def new_array(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """A new array, for arrays that are kept."""
    return np.empty(shape, dtype)


class _Reused(threading.local):
    def __init__(self) -> None:
        self._memory: dict[str, Any] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = self._memory.get(name)
        if memory is None or len(memory) < size + _LINE:
            self._memory.pop(name, None)
            memory = self._memory[name] = np.empty(size + size // 8 + _LINE, np.uint8)
        first = -memory.ctypes.data % _LINE
        return memory[first : first + size].view(dtype).reshape(shape)


reused_array = _Reused()
"""The calling thread's own memory: what had this name before is overwritten."""

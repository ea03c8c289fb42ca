"""Kernels for one thread and for several, compiled once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> dict[bool, Any]:
    """A function with ``prange`` loops compiled for several threads (True) and for one (False).

    numba's files on disk go by a function's name and know nothing of how it was compiled, so the two need two names.
    """
    assert isinstance(function, FunctionType)
    found = {}
    for parallel in (True, False):
        code = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
        code.__qualname__ = f"{function.__name__}_{'parallel' if parallel else 'alone'}"
        code.__module__ = function.__module__
        found[parallel] = njit(nogil=True, cache=True, parallel=parallel, fastmath={"contract", "reassoc", "nsz"})(code)
    return found

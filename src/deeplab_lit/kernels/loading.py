"""Loading of kernels: whether they can be used."""

from __future__ import annotations

import functools


@functools.cache
def has_numba() -> bool:
    """Whether numba, which compiles this folder's kernels, can be imported; callers have a slower path without it."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True

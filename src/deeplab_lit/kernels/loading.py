"""Whether compiled kernels can be used here."""

from __future__ import annotations

import functools


@functools.cache
def has_numba() -> bool:
    """Whether numba, which compiles this folder's kernels, can be imported; callers have a slower way without it."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True

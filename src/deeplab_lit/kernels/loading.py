"""Where compiled kernels are had from."""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.cache
def kernels(name: str) -> Any:
    """The module of this package that holds compiled kernels, or None where numba is missing."""
    try:
        return importlib.import_module(f"deeplab_lit.kernels.{name}")
    except ImportError:
        return None

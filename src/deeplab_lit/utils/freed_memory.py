"""What the C library does with memory that a program has freed."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next use, instead of giving it back to the system.

    A training step frees large tensors and asks for them again. Each time, the system would zero every page of them:
    a fifth of a step of the first blocks of EfficientNet-Lite0. The process holds its peak of memory until it ends.

    Where malloc is set by ``MALLOC_...`` or ``GLIBC_TUNABLES``, and in other C libraries, nothing changes.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)  # no mappings of their own for large pieces, which are given back when freed
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)

"""Just-in-time compilation of kernels, for one thread and for several, with a cache on disk."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any

import numba
from numba import njit
from numba.core.errors import NumbaWarning

from deeplab_lit.utils.homes import scratch_folder

log = logging.getLogger("deeplab_lit")

# what numba thinks of this package's kernels, and of the library of threads that it finds, concerns no user
for _words in ("(?s).*deeplab_lit", "The TBB threading layer requires"):
    warnings.filterwarnings("ignore", _words, NumbaWarning)

_ONLY_PRANGE = {
    **dict.fromkeys(("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False),
    "prange": True,
}
"""What numba makes parallel. Else it would look for loops in every operation on an array, and compile each as well."""


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """A function compiled by numba, without the global interpreter lock; cached on disk if a folder is writable."""
    with suppress(RuntimeError):  # numba can write neither beside the source nor into the home
        return njit(nogil=True, cache=True, **options)(function)
    numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(scratch_folder() / "numba")
    with suppress(RuntimeError):  # the source is not in a file
        return njit(nogil=True, cache=True, **options)(function)
    _warn()
    return njit(nogil=True, **options)(function)


@functools.cache
def _warn() -> None:
    log.warning(
        "numba finds no folder for its compiled code, so each process compiles kernels anew: set NUMBA_CACHE_DIR to a "
        "folder that can be written to"
    )


def kernel(function: Callable[..., Any]) -> dict[bool, Any]:
    """A function with ``prange`` loops compiled for several threads (True; see :func:`threads`) and for one (False).

    numba names its files on disk by the function, whatever the options of compilation, so the two need two names.
    """
    assert isinstance(function, FunctionType)
    found = {}
    for parallel in (True, False):
        code = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
        code.__qualname__ = f"{function.__name__}_{'parallel' if parallel else 'alone'}"
        code.__module__ = function.__module__
        found[parallel] = compiled(
            code, parallel=_ONLY_PRANGE if parallel else False, fastmath={"contract", "reassoc", "nsz"}
        )
    return {True: _on_threads(found[True]), False: found[False]}


def _on_threads(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        threads()
        return function(*arguments)

    return call


def threads() -> int:
    """The number of threads of parallel kernels: PyTorch's, if it is loaded, and else one for each core."""
    torch = sys.modules.get("torch")
    if torch is None:
        return int(numba.get_num_threads())
    wanted = torch.get_num_threads()
    numba.get_num_threads()  # starts numba's threads, which changes OpenMP's number of threads, and so PyTorch's
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
    numba.set_num_threads(min(wanted, numba.config.NUMBA_NUM_THREADS))
    return int(numba.get_num_threads())

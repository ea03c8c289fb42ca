"""Locks between processes: at the first others wait, at the second others are refused."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from deeplab_lit.utils.errors import UserError

_PATIENCE = 10.0  # seconds; the loader processes of a killed run keep its lock for a few


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / f".{path.name}.lock")


@contextmanager
def one_at_a_time(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Hold a lock beside ``path``; other processes wait for it instead of doing the same work.

    Args:
        path: the file or folder that is made under the lock.
        waiting: the text that a process prints if it has to wait.
    """
    lock = _lock(path)
    try:
        _acquire(lock, 0)
    except Timeout:
        if waiting:
            print(waiting, file=sys.stderr)
        _acquire(lock, -1)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, timeout: float) -> None:
    try:
        lock.acquire(timeout=timeout)
    except NotImplementedError:  # some cluster file systems have no locks: go on without one
        warnings.warn(f"{lock.lock_file} cannot be locked on this file system: start nothing twice.", stacklevel=4)


@contextmanager
def one_or_none(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock beside ``path``, which is released when the process ends, however it ends.

    Raises:
        UserError: another process holds the lock; the text is ``refusal``.
    """
    lock = _lock(path)
    try:
        _acquire(lock, _PATIENCE)
    except Timeout as error:
        raise UserError(refusal) from error
    try:
        yield
    finally:
        lock.release()

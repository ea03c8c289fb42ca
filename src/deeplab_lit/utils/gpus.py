"""GPUs of this machine, shared by trainings that each take one."""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

log = logging.getLogger("deeplab_lit")


@contextmanager
def free_gpu(among: Sequence[int] | None = None) -> Iterator[int]:
    """The number of a GPU that no other training of this user has taken; it is taken inside the context.

    If all are taken, it is the first one, with a warning.

    Args:
        among: numbers of the GPUs to choose from; None: all.
    """
    numbers = list(range(torch.cuda.device_count())) if among is None else list(among)
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"deeplab_lit-gpus-{user}"
    folder.mkdir(exist_ok=True)
    for number in numbers:
        # the identifier, since each process may see other GPUs under the same numbers
        lock = FileLock(folder / f"{torch.cuda.get_device_properties(number).uuid}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            yield number
        finally:
            lock.release()
        return
    log.warning("other trainings have taken all %d GPUs: this one shares number %d", len(numbers), numbers[0])
    yield numbers[0]

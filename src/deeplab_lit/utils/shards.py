"""Shards: the parts of a list of images that several processes share. The file imports no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

from deeplab_lit.utils.errors import UserError

Item = TypeVar("Item")
_NOTHING: Any = object()


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a list; ``index`` counts from 1."""

    index: int = 1
    count: int = 1

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Every ``count``-th item, from the ``index``-th on."""
        return list(items[self.index - 1 :: self.count])


def interleaved(parts: Sequence[Sequence[Item]]) -> list[Item]:
    """The whole list of which ``parts`` are the shards, from the first to the last."""
    return [item for turn in zip_longest(*parts, fillvalue=_NOTHING) for item in turn if item is not _NOTHING]


def own_shard(given: str | None = None) -> Shard:
    """The shard of this process.

    It is ``given``, such as ``"2/8"``. Without it, it is that of the process's rank among those that torchrun or srun
    started. A process that was started alone has the whole list.

    Raises:
        UserError: ``given`` is no shard.
    """
    if given is None:
        rank, count = _rank()
        return Shard(rank + 1, count)
    found = re.fullmatch(r"(\d+)/(\d+)", given)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"shard={given}: it is I/N, the I-th of N parts from 1/N to N/N, such as shard=2/8.")
    return Shard(int(found[1]), int(found[2]))


def _rank() -> tuple[int, int]:
    """The rank of this process and the number of all processes.

    srun sets ``SLURM_STEP_NUM_TASKS``. The script of a job has ``SLURM_NTASKS`` and a rank too, but is one process.
    """
    for names in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        if all(name in os.environ for name in names):
            rank, count = (int(os.environ[name]) for name in names)
            return rank, count
    return 0, 1


def local_rank() -> int | None:
    """The rank of this process among those of its machine; None for a process that was started alone."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    return int(os.environ["SLURM_LOCALID"]) if _rank()[1] > 1 and "SLURM_LOCALID" in os.environ else None


def processes_here() -> int:
    """The number of processes that torchrun started on this machine. srun gives each of its tasks cores of its own."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))

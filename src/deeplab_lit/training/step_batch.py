"""The batch of an optimiser step, shared by the processes of a training and by its accumulated batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class StepBatch:
    """The images of an optimiser step.

    Attributes:
        each: images in a forward pass of one process.
        processes: of the training.
        accumulated: forward passes of a process before an update.
    """

    each: int
    processes: int
    accumulated: int

    @property
    def total(self) -> int:
        """Images in an optimiser step: ``global_batch_size``."""
        return self.each * self.processes * self.accumulated


def share(config: TrainConfig, processes: int) -> StepBatch:
    """The batch of a config on so many processes: ``batch_size`` each, or ``global_batch_size`` shared by all.

    Raises:
        UserError: the processes cannot share it equally, both keys are given and disagree, or neither is.
    """
    accumulated = int(config.trainer.get("accumulate_grad_batches", 1))
    each, total = config.batch_size, config.global_batch_size
    for name, value in (("batch_size", each), ("global_batch_size", total)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value}: it is at least 1.")
    shares = processes * accumulated
    if total is None:
        if each is None:
            raise UserError("batch_size=null: type batch_size=NUMBER, or global_batch_size=NUMBER for all processes.")
        return StepBatch(each, processes, accumulated)
    if each is not None and each * shares != total:
        raise UserError(
            f"batch_size={each} makes {each * shares} images a step on {_count(processes, accumulated)}, but "
            f"global_batch_size={total}: leave batch_size out, or type global_batch_size={each * shares}."
        )
    if total % shares:
        fit = [number for number in range(1, total + 1) if total % number == 0]
        raise UserError(
            f"global_batch_size={total} cannot be shared by {_count(processes, accumulated)}: their product is "
            f"{', '.join(map(str, fit[:-1]))} or {fit[-1]}; choose trainer.devices and "
            f"trainer.accumulate_grad_batches so, or type global_batch_size={max(1, round(total / shares)) * shares}."
        )
    return StepBatch(total // shares, processes, accumulated)


def _count(processes: int, accumulated: int) -> str:
    several = f"{processes} process{'es' if processes > 1 else ''}"
    return several + (f" x {accumulated} accumulated batches" if accumulated > 1 else "")


def processes_told(trainer: Mapping[str, Any]) -> int:
    """The number of processes that ``trainer`` asks for by numbers; 1 where it leaves them to the machine."""
    devices, nodes = trainer.get("devices"), trainer.get("num_nodes", 1)
    if isinstance(devices, str) and devices[:1].isdigit():  # as Lightning reads "2", and "0,1"
        devices = int(devices) if devices.isdigit() else devices.strip(",").split(",")
    each = len(devices) if isinstance(devices, list) else devices if isinstance(devices, int) and devices > 0 else 1
    return each * (nodes if isinstance(nodes, int) else 1)

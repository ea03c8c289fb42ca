"""Losses that are not finite (NaN or infinite), detected before the weights are updated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

OnNan = Literal["stop", "skip"]


class LossNotFinite(Exception):
    """The loss of a step is not finite.

    Attributes:
        step: the optimiser step, from 0.
        ids: of the images in the batches whose losses are not finite, over all processes.
    """

    def __init__(self, step: int, ids: Sequence[str]) -> None:
        super().__init__(f"the loss of step {step} is not finite")
        self.step, self.ids = step, list(ids)


def bad_batches(loss: Tensor, ids: Sequence[str], processes: int) -> list[str]:
    """The image ids of those batches of a step whose losses are not finite, gathered from all processes.

    It is a collective operation: every process of the training has to call it.

    Args:
        loss: of this process, a scalar.
        ids: of the images in this process's batch.
        processes: the number of processes of the training.
    """
    bad = torch.tensor([not bool(loss.isfinite())], dtype=torch.int32, device=loss.device)
    own = list(ids) if bad else []
    if processes == 1:
        return own
    torch.distributed.all_reduce(bad)
    if not bad:
        return []
    found: list[list[str]] = [[] for _ in range(processes)]
    torch.distributed.all_gather_object(found, own)
    return [id for part in found for id in part]

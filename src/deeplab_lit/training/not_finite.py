"""A loss that is NaN or infinite: found before it reaches the weights."""

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
        ids: of the images in the batches whose losses are not finite, of all processes.
    """

    def __init__(self, step: int, ids: Sequence[str]) -> None:
        super().__init__(f"the loss of step {step} is not finite")
        self.step, self.ids = step, list(ids)


def bad_batches(loss: Tensor, ids: Sequence[str], processes: int) -> list[str]:
    """The ids in all batches of a step whose losses are not finite; every process of a training calls it at once.

    Args:
        loss: of this process, a scalar.
        ids: of its batch.
        processes: of the training.
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

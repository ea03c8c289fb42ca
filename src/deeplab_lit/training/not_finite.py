"""Losses and gradients that are not finite (NaN or infinite): their steps do not change the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from deeplab_lit.utils.hardware import of_all

OnNan = Literal["stop", "skip"]


class LossNotFinite(Exception):
    """The loss or the gradient of a step is not finite.

    Attributes:
        step: the optimiser step, from 0.
        ids: of the images in the batches whose losses are not finite, over all processes; of all images of the step
            where only its gradient is not finite.
    """

    def __init__(self, step: int, ids: Sequence[str]) -> None:
        super().__init__(f"the loss of step {step} is not finite")
        self.step, self.ids = step, list(ids)


@dataclass
class _Batch:
    step: int
    ids: list[str]
    good: Tensor  # whether its loss is finite


class FiniteSteps:
    """Leaves out the updates of steps that are not finite, without waiting for the device in each step.

    The decision is made on the device: a fused optimiser of PyTorch does nothing where its attribute ``found_inf`` is
    1. The gradients decide, which are those of all processes, so that all processes agree. :meth:`problems` reads the
    decisions of several steps at once.

    Args:
        on_nan: ``"stop"`` leaves out all steps after the first bad one too, so that the weights are those before it.
    """

    def __init__(self, on_nan: OnNan) -> None:
        self._stop = on_nan == "stop"
        self._batches: list[_Batch] = []
        self._left_out: dict[int, Tensor] = {}
        self._found: Tensor | None = None
        self._statistics: list[Tensor] = []
        self._before: Tensor | None = None

    def keep(self, statistics: Sequence[Tensor]) -> None:
        """Restore these tensors after a step that is left out: statistics that a forward pass updates."""
        self._statistics = list(statistics)

    def begin(self) -> None:
        """Call it before the first forward pass of a step."""
        if self._statistics:
            self._before = torch.cat([each.flatten() for each in self._statistics])

    def note(self, step: int, ids: Sequence[str], loss: Tensor) -> None:
        """Note the loss of a batch, a scalar of this process."""
        self._batches.append(_Batch(step, list(ids), loss.detach().isfinite()))

    def guard(self, optimizer: torch.optim.Optimizer, step: int, scaled: bool) -> None:
        """Call it between the backward pass and the update: a step whose gradients are not finite is left out.

        Args:
            optimizer: of :func:`deeplab_lit.training.optim.build_optimizer`.
            step: the optimiser step, from 0.
            scaled: whether a gradient scaler (precision 16-mixed) leaves out such steps itself; it lowers its scale
                after them, so that gradients alone are no fault.
        """
        if scaled:
            losses = [each.good for each in self._batches if each.step == step]
            self._restore(torch.stack(losses).all().logical_not())
            return
        trained = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        largest = torch.nn.utils.get_total_norm([each.grad for each in trained], norm_type=float("inf"))
        bad = largest.isfinite().logical_not().to(torch.float32)
        if self._stop and self._found is not None:
            bad = torch.maximum(bad, self._found)
        self._found = self._left_out[step] = bad
        self._restore(bad > 0)
        if optimizer.defaults.get("fused"):
            for group in optimizer.param_groups:
                for each in group["params"] if group.get("momentum") else ():
                    if "momentum_buffer" not in optimizer.state[each]:
                        # a first step that is left out would leave the momentum in memory as it was found
                        optimizer.state[each]["momentum_buffer"] = torch.zeros_like(each)
            optimizer.found_inf = bad  # type: ignore[attr-defined]
        elif bad:
            for each in trained:
                each.grad = None

    def _restore(self, bad: Tensor) -> None:
        if self._before is None:
            return
        now = torch.cat([each.flatten() for each in self._statistics])
        right = torch.split(torch.where(bad, self._before, now), [each.numel() for each in self._statistics])
        torch._foreach_copy_(self._statistics, list(right))

    def problems(self, processes: int) -> list[LossNotFinite]:
        """The steps since the last call that were not finite; it reads them from the device, in one copy.

        It is a collective operation where there are some: every process of the training has to call it.

        Args:
            processes: the number of processes of the training.
        """
        batches, left_out = self._batches, self._left_out
        self._batches, self._left_out = [], {}
        if not batches:
            return []
        flags = torch.stack([each.good.logical_not().float() for each in batches])
        steps = list(dict.fromkeys(each.step for each in batches))
        of_step = torch.stack([
            torch.stack([*(flag for flag, each in zip(flags, batches, strict=True) if each.step == step),
                         *([left_out[step]] if step in left_out else [])]).amax()
            for step in steps
        ])  # fmt: skip
        if processes > 1:
            torch.distributed.all_reduce(of_step, torch.distributed.ReduceOp.MAX)
        values = torch.cat([flags, of_step]).tolist()
        bad = [step for step, value in zip(steps, values[len(batches) :], strict=True) if value]
        return [LossNotFinite(step, _images(step, batches, values)) for step in bad]


def _images(step: int, batches: Sequence[_Batch], flags: Sequence[float]) -> list[str]:
    """The images of a step whose losses are not finite, of all processes; all its images where there are none."""
    own = [(each.ids, flag) for each, flag in zip(batches, flags, strict=False) if each.step == step]
    parts = of_all(own)
    suspects = [id for part in parts for ids, flag in part if flag for id in ids]
    return suspects or [id for part in parts for ids, _ in part for id in ids]

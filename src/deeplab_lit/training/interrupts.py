"""Interrupts of a training by signals: it finishes the current step, saves a checkpoint and ends."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from deeplab_lit.training.curve import UnbrokenCurve
from deeplab_lit.training.lightning_private import (
    MovingAverage,
    forget_validation_progress,
    log_this_step,
    validate_now,
)
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.utils.errors import Interrupted
from deeplab_lit.utils.hardware import is_first_process, of_all
from deeplab_lit.utils.slurm import requeue

log = logging.getLogger("deeplab_lit")
OF_CLUSTERS = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
"""The signals that clusters send before the end of a job's time."""
_SIGNALS: list[int | None] = [None, signal.SIGTERM, signal.SIGINT, *reversed(OF_CLUSTERS)]  # the last one counts most
_TIME_IS_SHORT = getattr(signal, "SIGUSR1", None)  # at SIGUSR2, submitit has SLURM start the job again
_EVERY = 8  # steps between two looks at the other processes' signals, where looking makes the host wait for a GPU
_EVERY_VALIDATION = 4  # the same in batches of a validation


class SaveFirst(Callback):
    """On a signal, saves a checkpoint after the current step and raises :class:`Interrupted`.

    The signals are SIGTERM, SIGINT (Ctrl-C), and SIGUSR1 and SIGUSR2, which clusters send before the end of a job's
    time. A second Ctrl-C ends the process at once; other signals that are repeated, as SLURM does, change nothing. All
    processes of a training stop at the same step. A validation that the signal interrupts is run again when the run is
    resumed.

    Args:
        path: of the checkpoint.
        command: what the user typed; the error's message repeats it.
    """

    # UnbrokenCurve would drop the rows of a repeated validation; the checkpoint must hold the moving average
    comes_after = (UnbrokenCurve, MovingAverage)

    def __init__(self, path: Path, command: str) -> None:
        self._path, self._command = path, command
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        self._segmenter: Segmenter | None = None
        self._common = 0  # validation batches that every process has

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Segmenter)
        self._segmenter = pl_module
        # only the main thread can set handlers; a caller that trains in another thread handles signals itself
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._note) for each in _SIGNALS if each}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Segmenter)
        if self._owes_validation(trainer, pl_module):
            validate_now(trainer)

    def _owes_validation(self, trainer: L.Trainer, segmenter: Segmenter) -> bool:
        step = trainer.global_step
        every = int(trainer.val_check_interval or 1) // trainer.accumulate_grad_batches
        return 0 < step != segmenter.validated_at and step % every == 0

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received is not None:
            if signum == signal.SIGINT:
                signal.signal(signum, signal.SIG_DFL)
                signal.raise_signal(signum)
            return
        self._received = signum
        assert self._segmenter is not None
        self._segmenter.wants_to_stop = True
        once_more = "; once more to stop at once" if signum == signal.SIGINT else ""
        if is_first_process():
            print(f"\nstopping after this step{once_more}", file=sys.stderr, flush=True)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # no checkpoint between the batches of an accumulated step
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        assert isinstance(pl_module, Segmenter)
        told = self._received is not None
        if pl_module.stop_wanted is not None:
            # all processes look at the same steps
            looks = pl_module.device.type == "cpu" or trainer.global_step % _EVERY == 0
            told = looks and float(pl_module.stop_wanted) > 0
        if told:
            log_this_step(trainer)  # the resumed run begins with the next step
            self._stop(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        told = self._received is not None  # since the last look
        if trainer.strategy.reduce_boolean_decision(told, all=False):
            self._stop(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and trainer.world_size > 1:  # processes may have different numbers of batches
            self._common = min(of_all(int(trainer.num_val_batches[0])))

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.state.fn != "fit":
            return
        told = self._received is not None
        if trainer.world_size > 1:
            looks = (batch_idx + 1) % _EVERY_VALIDATION == 0 and batch_idx < self._common
            told = looks and trainer.strategy.reduce_boolean_decision(told, all=False)
        if told:
            forget_validation_progress(trainer)
            self._stop(trainer)

    def _stop(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self._path)
        if trainer.world_size > 1:  # the signal may have come to another process
            self._received = max(of_all(self._received), key=_SIGNALS.index)
        if self._received == _TIME_IS_SHORT and trainer.is_global_zero:
            requeue()
        signum = self._received or signal.SIGTERM
        raise Interrupted(
            signum,
            f"stopped by {signal.Signals(signum).name} at step {trainer.global_step}, saved as {self._path}; go on "
            f"with: {_again(self._command)}",
        )

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}


@contextmanager
def requeued_outside_the_steps(command: str) -> Iterator[None]:
    """A context for what comes before the first and after the last step: signals of clusters raise an error.

    Their default action would end the process, and SLURM would not requeue the job.

    Args:
        command: what the user typed; the error's message repeats it.

    Raises:
        Interrupted: such a signal has come.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        if signum == _TIME_IS_SHORT and is_first_process():
            requeue()
        name = signal.Signals(signum).name
        raise Interrupted(signum, f"stopped by {name} outside the steps; go on with: {_again(command)}")

    mine = [each for each in OF_CLUSTERS if signal.getsignal(each) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        mine = []
    for signum in mine:
        signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum in mine:
            signal.signal(signum, signal.SIG_DFL)


def _again(command: str) -> str:
    return command if "resume=auto" in shlex.split(command) else f"{command} resume=auto"

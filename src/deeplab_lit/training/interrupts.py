"""Interrupts of a training (SIGTERM and SIGINT): it finishes the current step, saves a checkpoint and ends."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from deeplab_lit.training.callbacks import UnbrokenCurve
from deeplab_lit.training.lightning_private import (
    MovingAverage,
    forget_validation_progress,
    log_this_step,
    validate_now,
)
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.utils.errors import Interrupted

log = logging.getLogger("deeplab_lit")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SaveFirst(Callback):
    """On SIGTERM or SIGINT, saves a checkpoint after the current step and raises :class:`Interrupted`.

    A second signal ends the process at once. All processes of a training stop at the same step. A validation that the
    signal interrupted is run again when the run is resumed.

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

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Segmenter)
        # only the main thread can set handlers; a caller that trains in another thread handles signals itself
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._note) for each in _SIGNALS}
        if self._owes_validation(trainer, pl_module):
            validate_now(trainer)

    def _owes_validation(self, trainer: L.Trainer, segmenter: Segmenter) -> bool:
        step = trainer.global_step
        every = int(trainer.val_check_interval or 1) // trainer.accumulate_grad_batches
        return 0 < step != segmenter.validated_at and step % every == 0

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received is not None:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        self._received = signum
        print("\nstopping after this step; once more to stop at once", file=sys.stderr, flush=True)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # no checkpoint between the batches of an accumulated step
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        told = self._received is not None
        if trainer.world_size > 1:
            told = trainer.strategy.reduce_boolean_decision(told, all=False)
        if told:
            log_this_step(trainer)  # the resumed run begins with the next step
            self._stop(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        # during validation, processes are at different images: several stop together after the next training step
        if self._received is not None and trainer.state.fn == "fit" and trainer.world_size == 1:
            forget_validation_progress(trainer)
            self._stop(trainer)

    def _stop(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self._path)
        again = self._command if "resume=auto" in shlex.split(self._command) else f"{self._command} resume=auto"
        signum = self._received or signal.SIGTERM
        raise Interrupted(
            signum,
            f"stopped by {signal.Signals(signum).name} at step {trainer.global_step}, saved as {self._path}; go on "
            f"with: {again}",
        )

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}

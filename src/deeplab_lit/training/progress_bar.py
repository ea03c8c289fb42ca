"""The progress bar of a training on a terminal, and progress lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from deeplab_lit.training.lightning_private import TrainingBar

log = logging.getLogger("deeplab_lit")


def progress_callback() -> Callback:
    """The progress callback: a bar if standard output is a terminal, else lines."""
    return TrainingBar(leave=True) if sys.stdout.isatty() else ProgressLines()


class ProgressLines(Callback):
    """Progress for logs and pipes: a line every twenty seconds and after each validation."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began = self._spoke = time.monotonic()
        self._paced: tuple[float, int] | None = None  # the time and the step from which the pace is measured

    def _say(self, trainer: L.Trainer, miou: str = "") -> None:
        step, now, metrics = trainer.global_step, time.monotonic(), trainer.callback_metrics
        # that of the last logged step; there is none before the first
        loss = f"loss {float(metrics['train/loss']):.3f}  " if "train/loss" in metrics else ""
        line = f"step {step}/{trainer.max_steps}  {loss}{miou}{_clock(now - self._began)} gone"
        if self._paced and step > self._paced[1]:
            pace = (now - self._paced[0]) / (step - self._paced[1])
            line += f", {_clock(pace * (trainer.max_steps - step))} left"
        # the pace leaves out the first steps, which compile kernels and fill caches
        self._paced, self._spoke = self._paced or (now, step), now
        log.info(line)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if time.monotonic() - self._spoke > 20:
            self._say(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._say(trainer, f"mIoU {float(trainer.callback_metrics['val/miou']):.3f}  ")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""The training curve: metrics.csv has one row for each logged step, and a validation at the last step."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from deeplab_lit.training.lightning_private import number_rows_by_steps
from deeplab_lit.training.loggers import CsvLogger


class UnbrokenCurve(Callback):
    """Keeps metrics.csv consistent with the checkpoints, so that a resumed run neither misses nor repeats rows."""

    @staticmethod
    def _tables(trainer: L.Trainer) -> list[CsvLogger]:
        return [logger for logger in trainer.loggers if isinstance(logger, CsvLogger)]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # rows that a killed run wrote after its last checkpoint are computed again
        for table in self._tables(trainer):
            table.rewind(trainer.global_step)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        number_rows_by_steps(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        for table in self._tables(trainer):
            table.flush()


class LastValidation(Callback):
    """Validates after the last step, also where ``val_every`` does not divide their number."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning validates before it stops

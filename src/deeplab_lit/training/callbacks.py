"""What happens beside the training: time kept, progress shown, predictions logged as pictures."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from torch.optim.swa_utils import get_ema_multi_avg_fn

from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.data.drawing import panel
from deeplab_lit.data.labels import VOID
from deeplab_lit.training.loggers import CsvLogger
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.utils.arrays import Bytes

log = logging.getLogger("deeplab_lit")


class Clock(Callback):
    """Seconds of training, summed over resumes."""

    def __init__(self) -> None:
        self._before, self._start = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["seconds"]


class UnbrokenCurve(Callback):
    """Keeps metrics.csv in step with the checkpoints, so that a resumed run leaves no gap and no double."""

    @staticmethod
    def _tables(trainer: L.Trainer) -> list[CsvLogger]:
        return [logger for logger in trainer.loggers if isinstance(logger, CsvLogger)]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # rows that a killed run wrote after its last checkpoint are computed again
        for table in self._tables(trainer):
            table.rewind(trainer.global_step)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        for table in self._tables(trainer):
            table.flush()


class Throughput(Callback):
    """Logs ``train/images_per_second``, of all processes, without the time of validations."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin()

    def _begin(self) -> None:
        self._images, self._since = 0, time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch["id"]) * trainer.world_size
        if trainer._logger_connector.should_update_logs:
            speed = self._images / max(1e-9, time.monotonic() - self._since)
            pl_module.log("train/images_per_second", speed, batch_size=1)
            self._begin()


class MovingAverage(WeightAveraging):
    """An exponential moving average of the weights, which is validated and kept in the checkpoints, beside the weights.

    It comes before whatever saves after a step, and after what looks at the network at the end of a validation.

    Args:
        decay: of the average in each step. It rises to this, so that the random weights of the first steps are
            forgotten soon.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Any, current: Any, count: Any) -> None:
            now = min(decay, (1 + float(count)) / (10 + float(count)))
            ema = get_ema_multi_avg_fn(now)  # type: ignore[no-untyped-call]
            ema(averaged, current, count)

        super().__init__(multi_avg_fn=average)
        self._shown = False  # whether the network holds the average, and the average's place its own weights

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit":  # afterwards the network holds what is to be scored
            super().on_validation_epoch_start(trainer, pl_module)
            self._shown = True

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit":
            super().on_validation_epoch_end(trainer, pl_module)
            self._shown = False

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert self._average_model is not None
        self._swap_models(pl_module)
        self._shown = True

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._shown:  # the training has ended, or is stopped in the middle of a validation
            own = checkpoint["state_dict"]
            checkpoint["state_dict"], checkpoint["current_model_state"] = checkpoint["current_model_state"], own


class Pictures(Callback):
    """Sends predictions on a few validation images to W&B and TensorBoard after each validation.

    Args:
        count: how many images, taken evenly from the split.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def predict(
        self, segmenter: Segmenter, data: SegmentationData
    ) -> tuple[list[tuple[Bytes, Bytes, Bytes]], list[str]]:
        """(image, truth, prediction) and the ids of the chosen images."""
        total = len(data.val_split)
        chosen = sorted({int(i) for i in np.linspace(0, total - 1, min(self.count, total))}) if self.count else []
        rows, ids = [], []
        segmenter.eval()
        with torch.inference_mode():
            for index in chosen:
                example, sample = data.val_split[index], data.val_sample(index)
                batch = {**sample, "image": sample["image"][None].to(segmenter.device)}
                labels = segmenter.predict_labels(batch)[0].byte().cpu().numpy()
                height, width = example.mask.shape
                rows.append((example.image, example.mask, labels[:height, :width]))
                ids.append(example.id)
        return rows, ids

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wanted = [logger for logger in trainer.loggers if isinstance(logger, (WandbLogger, TensorBoardLogger))]
        if not wanted or not trainer.is_global_zero or not self.count or trainer.state.fn != "fit":
            return
        assert isinstance(pl_module, Segmenter)
        rows, ids = self.predict(pl_module, trainer.datamodule)  # type: ignore[attr-defined]
        names = {**dict(enumerate(pl_module.labels.names)), VOID: "void"}
        for logger in wanted:
            if isinstance(logger, WandbLogger):
                for id, (image, truth, guess) in zip(ids, rows, strict=True):
                    masks = {
                        "prediction": {"mask_data": guess, "class_labels": names},
                        "truth": {"mask_data": truth, "class_labels": names},
                    }
                    # a key for each picture: W&B wants one size under one key
                    logger.log_image(f"predictions/{id}", [image], step=trainer.global_step, masks=[masks])
            else:
                picture = np.array(panel(rows, pl_module.labels, ids))
                logger.experiment.add_image("predictions", picture, trainer.global_step, dataformats="HWC")


class _Bar(RichProgressBar):
    """The whole training as one bar: the steps done, time gone and left, loss and mIoU."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        return items


class _Lines(Callback):
    """Progress for logs and pipes: a line every twenty seconds and after each validation."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began = self._spoke = time.monotonic()
        self._paced: tuple[float, int] | None = None  # since when, and from which step on, the pace is taken

    def _say(self, trainer: L.Trainer, what: str) -> None:
        step, now = trainer.global_step, time.monotonic()
        line = f"step {step}/{trainer.max_steps}  {what}  {_clock(now - self._began)} gone"
        if self._paced and step > self._paced[1]:
            pace = (now - self._paced[0]) / (step - self._paced[1])
            line += f", {_clock(pace * (trainer.max_steps - step))} left"
        # the first steps compile kernels and fill caches
        self._paced, self._spoke = self._paced or (now, step), now
        log.info(line)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if time.monotonic() - self._spoke > 20:
            self._say(trainer, f"loss {float(trainer.callback_metrics['train/loss']):.3f}")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit":
            metrics = trainer.callback_metrics
            loss = f"loss {float(metrics['train/loss']):.3f}  " if "train/loss" in metrics else ""
            self._say(trainer, f"{loss}mIoU {float(metrics['val/miou']):.3f}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_shown() -> Callback:
    """A live bar on a terminal, lines elsewhere."""
    return _Bar(leave=True) if sys.stdout.isatty() else _Lines()

"""Callbacks of every training, and the order in which they are called."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.data.drawing import panel, shown
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.training.guarded_logger import GuardedLogger
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.shards import Shard


def in_order(callbacks: Sequence[Callback]) -> list[Callback]:
    """Sort callbacks so that each follows those of the classes in its attribute ``comes_after``.

    The sort keeps the given order otherwise. Lightning itself moves callbacks that write checkpoints to the end.
    """
    waiting, ordered = list(callbacks), []
    while waiting:
        free = next((each for each in waiting if not _waits(each, waiting)), None)
        if free is None:
            raise ValueError(f"each of these callbacks comes after another of them: {waiting}")
        waiting.remove(free)
        ordered.append(free)
    return ordered


def _waits(callback: Callback, others: Sequence[Callback]) -> bool:
    before = getattr(callback, "comes_after", ())
    return any(other is not callback and isinstance(other, before) for other in others)


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


class Throughput(Callback):
    """Logs ``train/images_per_second``, summed over processes, without the time of validations."""

    _logged = -1  # the step of the last logged value

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
        step = trainer.global_step
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and step != self._logged and step % every == 0:
            self._logged = step
            speed = self._images / max(1e-9, time.monotonic() - self._since)
            pl_module.log("train/images_per_second", speed, batch_size=1)
            self._begin()


class Pictures(Callback):
    """Sends predictions on a few validation images to W&B and TensorBoard after each validation.

    Args:
        count: how many images, taken evenly from the split.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def predict(
        self, segmenter: Segmenter, data: SegmentationData, shard: Shard | None = None
    ) -> tuple[list[tuple[Pixels, Bytes, Bytes]], list[str]]:
        """Predict labels for the chosen validation images, or for a shard of them.

        Returns:
            (image, truth, prediction) of each, of shapes (H, W, C), (H, W) and (H, W); and their ids.
        """
        total = len(data.val_split)
        chosen = sorted({int(i) for i in np.linspace(0, total - 1, min(self.count, total))}) if self.count else []
        rows, ids = [], []
        segmenter.eval()
        with torch.inference_mode():
            for index in chosen if shard is None else shard.of(chosen):
                example, sample = data.val_split[index], data.val_sample(index)
                batch = {**sample, "image": sample["image"][None].to(segmenter.device)}
                labels = segmenter.predict_labels(batch)[0].byte().cpu().numpy()
                height, width = example.mask.shape
                rows.append((example.image, example.mask, labels[:height, :width]))
                ids.append(example.id)
        return rows, ids

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        guarded = [logger for logger in trainer.loggers if isinstance(logger, GuardedLogger) and not logger.failed]
        if not guarded or not trainer.is_global_zero or not self.count or trainer.state.fn != "fit":
            return
        assert isinstance(pl_module, Segmenter)
        rows, ids = self.predict(pl_module, trainer.datamodule)  # type: ignore[attr-defined]
        for logger in guarded:
            logger.attempt(_show, logger.inner, rows, ids, pl_module.labels, trainer.global_step)


def _show(
    logger: Logger, rows: Sequence[tuple[Pixels, Bytes, Bytes]], ids: Sequence[str], labels: LabelSet, step: int
) -> None:
    """Send (image, truth, prediction) of some images to W&B or TensorBoard."""
    if isinstance(logger, WandbLogger):
        names = {**dict(enumerate(labels.names)), VOID: "void"}
        for id, (image, truth, guess) in zip(ids, rows, strict=True):
            masks = {
                "prediction": {"mask_data": guess, "class_labels": names},
                "truth": {"mask_data": truth, "class_labels": names},
            }
            # a key for each image: W&B requires all images of a key to have one size
            logger.log_image(f"predictions/{id}", [shown(image)], step=step, masks=[masks])
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image("predictions", np.array(panel(rows, labels, ids)), step, dataformats="HWC")

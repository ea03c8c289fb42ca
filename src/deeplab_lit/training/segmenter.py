"""The segmenter: the LightningModule with training step, validation scores and optimiser.

It does not depend on an architecture and writes no file.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from deeplab_lit.config.schemas import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import IMAGENET, Normalization, NormalizeBytes
from deeplab_lit.data.transforms import Sample
from deeplab_lit.inference.metrics import ConfusionMatrix, Scores
from deeplab_lit.models.folding import keep_folded
from deeplab_lit.models.network import Network
from deeplab_lit.models.norm import running_statistics
from deeplab_lit.models.pixel_labels import pixel_labels
from deeplab_lit.training.dense_energy import dense_energy
from deeplab_lit.training.hard_pixels import hard_labels
from deeplab_lit.training.losses import (
    Mask,
    Resolution,
    Size,
    label_weights,
    labels_of_maps,
    map_size,
    segmentation_loss,
    summed_cross_entropy,
)
from deeplab_lit.training.not_finite import FiniteSteps, OnNan
from deeplab_lit.training.optim import build_optimizer, build_schedule, follow, take_memory_format
from deeplab_lit.weights.description import CHECKPOINT_KEY

Compiled = Literal["none", "loss", "network"]

log = logging.getLogger("deeplab_lit")


class Segmenter(L.LightningModule):
    """Trains and validates a network that maps images to class scores.

    Args:
        network: a :class:`DeepLab` or :class:`MultiScaleInput`.
        labels: the classes it scores.
        optimizer, schedule: their configs.
        max_steps: length of the schedule, in optimiser steps.
        loss: its config; the names and folders in it are read elsewhere. None: the papers' loss, on the map.
        channels_last: keep images and weights in channels-last memory format, which is fast in half precision.
        description: builtins that describe the network and its input, stored in every checkpoint.
        class_weights: of each class's pixels in the loss; None: equal weights.
        seed: of dropout, whose random numbers depend on seed, step and process alone.
        compiled: what ``torch.compile`` compiles, for training on crops of one size: nothing (``"none"``), the
            ``"loss"`` with its upsampling, or the ``"network"`` too.
        on_nan: what happens if a loss or a gradient is not finite: the step does not change the network. ``"stop"``
            raises :class:`LossNotFinite` within the next 50 steps and before a checkpoint is written, and no step
            changes the weights until then, except beside a gradient scaler; ``"skip"`` goes on.
        normalization: of the images, which arrive as bytes.

    Attributes:
        wants_to_stop: whether this process wants the training to stop.
        stop_wanted: how many processes want it, as of the last step; a scalar on the device. None in one process.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: Network,
        labels: LabelSet,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        max_steps: int,
        loss: LossConfig | None = None,
        channels_last: bool = False,
        description: dict[str, Any] | None = None,
        class_weights: Sequence[float] | None = None,
        seed: int = 0,
        compiled: Compiled = "none",
        on_nan: OnNan = "stop",
        normalization: Normalization = IMAGENET,
    ) -> None:
        super().__init__()
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self._format)
        self.labels, self.loss = labels, loss or LossConfig(resolution="map")
        self.resolution = cast(Resolution, self.loss.resolution)
        self._optimizer, self._schedule, self._max_steps = optimizer, schedule, max_steps
        self._description = description or {}
        self.seed, self.on_nan = seed, on_nan
        self.normalize = NormalizeBytes(normalization)
        self.finite = FiniteSteps(on_nan)
        self.left_out = 0  # steps whose loss or gradient was not finite
        self.wants_to_stop = False
        self.stop_wanted: Tensor | None = None
        self._map_sizes: dict[torch.Size, list[Size | None]] = {}  # of images of a size
        # functions are compiled instead of modules, so that the names of weights in checkpoints stay the same
        self._supervised = self.network.supervised
        if compiled == "network":
            self._supervised = torch.compile(self.network.supervised, dynamic=False)
        self._summed = None if compiled == "none" else torch.compile(summed_cross_entropy, dynamic=False)
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)
        self.confusion = ConfusionMatrix(len(labels))
        self.matrix: Tensor | None = None
        self.scores: Scores | None = None
        self.validated_at = -1
        self.validation_began = self.validation_seconds = 0.0

    def _image(self, batch: Sample) -> Tensor:
        image = self.normalize(batch["image"]).to(next(self.network.parameters()).dtype)
        return image.contiguous(memory_format=self._format)

    def on_train_batch_start(self, batch: Sample, batch_index: int) -> None:
        place = (self.seed, 2, self.trainer.global_step, batch_index % self.trainer.accumulate_grad_batches)
        torch.manual_seed(int(np.random.SeedSequence((*place, self.global_rank)).generate_state(1)[0]))
        if batch_index % self.trainer.accumulate_grad_batches == 0:
            self.finite.begin()

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        image, mask, pixels = self._image(batch), batch["mask"], batch.get("weights")
        sizes = self._map_sizes.get(image.shape)
        # before the forward pass, so that processes exchange the numbers while they compute
        early = sizes is not None and self.loss.threshold is None
        shared = self._shared(mask, sizes or [], pixels) if early else None
        maps = self._supervised(image)
        sizes = self._map_sizes[image.shape] = [map_size(each, self.resolution) for each in maps]
        if self.loss.threshold is not None:
            mask = self._hard(maps, mask, sizes)
        shared = shared or self._shared(mask, sizes, pixels)
        loss = segmentation_loss(
            maps, mask, self.resolution, self.network.align_corners, self.class_weights, shared(), self._summed,
            self.loss.balanced, pixels,
        )  # fmt: skip
        if self.loss.dense_energy:
            loss = loss + self._energy(maps[0], batch)
        step = self.trainer.global_step
        self.finite.note(step, batch["id"], loss)
        if self._logs_at(step):
            self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["id"]), sync_dist=True)
            groups = self.trainer.optimizers[0].param_groups
            self.log_dict({f"lr/{group['name']}": group["lr"] for group in groups}, batch_size=1)
        return loss

    def _hard(self, maps: Sequence[Tensor], mask: Tensor, sizes: Sequence[Size | None]) -> list[Tensor]:
        """The labels that each map meets, without the pixels that are easy for it."""
        assert self.loss.threshold is not None
        align_corners, chosen = self.network.align_corners, (self.loss.threshold, self.loss.min_kept)
        labels = labels_of_maps(mask, sizes, align_corners)
        return [hard_labels(*pair, align_corners, *chosen) for pair in zip(maps, labels, strict=True)]

    def _energy(self, scores: Tensor, batch: Sample) -> Tensor:
        """The dense energy of the scores, the fused ones under multi-scale inputs, with its weight."""
        told = self.loss
        settings = (told.energy_rgb_std, told.energy_xy_std, told.energy_scale, self.network.align_corners)
        return told.dense_energy * dense_energy(scores, batch["image"], batch["box"], *settings)

    def _logs_at(self, step: int) -> bool:
        """Whether Lightning sends the metrics of a step (from 0) to the loggers; reading them makes the host wait."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return bool(every) and (step + 1) % every == 0

    def _shared(self, mask: Mask, sizes: Sequence[Size | None], pixels: Tensor | None) -> Callable[[], Tensor]:
        """Begin to compute the divisors of the loss of each map; the returned function waits for them.

        They have the shape of :func:`label_weights`. A divisor is the mean over processes of the number of labelled
        pixels, so that the averaged gradients of several processes equal those of one.
        """
        weights = label_weights(mask, sizes, self.network.align_corners, self.class_weights, self.loss.balanced, pixels)
        world = self.trainer.world_size
        if world == 1:
            return lambda: weights
        packed = torch.cat([weights.flatten(), weights.new_full((1,), float(self.wants_to_stop))])
        exchange = torch.distributed.all_reduce(packed, async_op=True)

        def finish() -> Tensor:
            exchange.wait()
            self.stop_wanted = packed[-1]
            return packed[:-1].view_as(weights) / world

        return finish

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.finite.guard(optimizer, self.trainer.global_step, self._is_scaled())

    def _is_scaled(self) -> bool:
        return getattr(self.trainer.precision_plugin, "scaler", None) is not None

    def on_train_batch_end(self, outputs: Any, batch: Sample, batch_index: int) -> None:
        if (batch_index + 1) % self.trainer.accumulate_grad_batches:
            return
        step = self.trainer.global_step - 1
        if self._logs_at(step) or step % 50 == 49:
            self.check_finite()

    def check_finite(self) -> None:
        """Log or raise the steps since the last call that were not finite, in all processes at the same step.

        Raises:
            LossNotFinite: there is one, and ``on_nan`` is ``"stop"``.
        """
        for problem in self.finite.problems(self.trainer.world_size):
            if self.on_nan == "stop":
                raise problem
            self.left_out += 1
            if self.trainer.is_global_zero:
                log.warning("the loss of step %d is not finite, left out: %s", problem.step, ", ".join(problem.ids))

    def on_validation_start(self) -> None:
        self.check_finite()
        keep_folded(self.network, True)
        self.validation_began = time.monotonic()

    def on_validation_end(self) -> None:
        keep_folded(self.network, False)

    def on_train_end(self) -> None:
        self.check_finite()

    def predict_labels(self, batch: Sample) -> Tensor:
        """The class index of every pixel of the (padded) batch: (N, H, W)."""
        return pixel_labels(self.network, self._image(batch))

    def validation_step(self, batch: list[Sample], batch_index: int) -> None:
        for each in batch:
            self.confusion.update(self.predict_labels(each), each["mask"])

    def on_validation_epoch_end(self) -> None:
        self.matrix = self.confusion.compute().cpu()
        self.scores = Scores.of(self.matrix)
        self.confusion.reset()
        self.validated_at = self.trainer.global_step
        self.validation_seconds = time.monotonic() - self.validation_began
        # the counts are already summed over processes
        self.log("val/miou", self.scores.miou, prog_bar=True)
        self.log("val/pixel_accuracy", self.scores.pixel_accuracy)
        self.log("val/mean_accuracy", self.scores.mean_accuracy)
        for name, iou in zip(self.labels.names, self.scores.per_class_iou, strict=True):
            if not math.isnan(iou):
                self.log(f"val/iou/{name}", float(iou))

    def configure_optimizers(self) -> Any:
        # a gradient scaler does not go with gradient clipping and a fused optimiser together
        fused = self.device.type in ("cpu", "cuda") and not self._is_scaled()
        optimizer = build_optimizer(self.network, self._optimizer, fused)
        schedule = build_schedule(optimizer, self._schedule, self._max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """The config, not the checkpoint that is resumed, decides learning rate, weight decay and schedule."""
        restored = cast(LambdaLR, self.trainer.lr_scheduler_configs[0].scheduler)
        told = self.configure_optimizers()
        follow(self.trainer.optimizers[0], restored, told["lr_scheduler"]["scheduler"])
        take_memory_format(self.trainer.optimizers[0])
        self.finite.keep(running_statistics(self.network))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()
        checkpoint[CHECKPOINT_KEY] = self._description
        checkpoint["validated_at"], checkpoint["left_out"] = self.validated_at, self.left_out

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validated_at, self.left_out = checkpoint["validated_at"], checkpoint.get("left_out", 0)

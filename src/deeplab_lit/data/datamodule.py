"""Data module of Lightning: a data set, its transforms and its loaders."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.sampling import Draw, EvalSampler, TrainSampler
from deeplab_lit.data.split import Split
from deeplab_lit.data.transforms import EvalTransform, Sample, TrainTransform
from deeplab_lit.utils.errors import UserError


class Source(Protocol):
    """A data set: its label set, and its splits ``"train"`` and ``"val"``."""

    labels: LabelSet

    def split(self, name: str) -> Split: ...


class TrainSet(Dataset[Sample]):
    """Augmented examples of a split, addressed by (index, seed of the augmentation)."""

    def __init__(self, split: Split, transform: TrainTransform) -> None:
        self._split, self._transform = split, transform

    def __getitem__(self, draw: Draw) -> Sample:
        index, seed = draw
        return self._transform(self._split[index], seed)


class EvalSet(Dataset[Sample]):
    """Whole examples of a split."""

    def __init__(self, split: Split, transform: EvalTransform) -> None:
        self._split, self._transform = split, transform

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> Sample:
        return self._transform(self._split[index])


class SegmentationData(L.LightningDataModule):
    """The Lightning data module of one data set.

    Args:
        source: the data set.
        train_transform, eval_transform: turn an example into a sample.
        batch_size: examples in a training batch of one process.
        eval_batch_size: examples in a validation batch; images of several sizes are padded to the largest.
        num_workers: loader processes; 0 loads in the training process.
        seed: seed of the order and the augmentation of the training examples.

    Attributes:
        weights: how often each training example is drawn (see :class:`TrainSampler`); None: all equally often.
    """

    def __init__(
        self,
        source: Source,
        train_transform: TrainTransform,
        eval_transform: EvalTransform,
        batch_size: int,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.source, self.labels = source, source.labels
        self.train_split, self.val_split = source.split("train"), source.split("val")
        self._train, self._val = (
            TrainSet(self.train_split, train_transform),
            EvalSet(self.val_split, eval_transform),
        )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.weights: NDArray[np.float64] | None = None

    def val_sample(self, index: int) -> Sample:
        """One validation sample, as the loader gives it."""
        return self._val[index]

    def _world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches from the trainer's current step to its last one."""
        assert self.trainer is not None
        rank, world = self._world()
        if len(self._val) < world:
            raise UserError(
                f"{len(self._val)} validation image(s) for {world} processes: each needs at least one; lower "
                "trainer.devices."
            )
        each_step = self.batch_size * self.trainer.accumulate_grad_batches
        sampler = TrainSampler(
            len(self.train_split),
            draws=self.trainer.max_steps * each_step,
            seed=self.seed,
            start=self.trainer.global_step * each_step,
            rank=rank,
            world=world,
            weights=self.weights,
        )
        return self._loader(self._train, sampler, self.batch_size)

    def val_dataloader(self) -> DataLoader[Sample]:
        """The whole validation split in the order of its list."""
        rank, world = self._world()
        return self._loader(self._val, EvalSampler(len(self._val), rank, world), self.eval_batch_size)

    def _loader(self, dataset: Dataset[Sample], sampler: Any, batch_size: int) -> DataLoader[Sample]:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=survive_signals,
        )


def survive_signals(worker: int) -> None:
    """Make a loader process ignore SIGINT, and obey SIGTERM only if its parent sends it.

    A signal that goes to all processes of a training would otherwise end the loaders before the training has saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # sigwaitinfo tells the sender; not every platform has it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_the_parent, daemon=True).start()


def _obey_the_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def collate(samples: list[Sample]) -> Sample:
    """Stack samples, padded at the bottom and right to the largest: images with 0 (the mean), masks with void."""
    height = max(sample["mask"].shape[0] for sample in samples)
    width = max(sample["mask"].shape[1] for sample in samples)

    def padded(x: Tensor, value: int) -> Tensor:
        if x.shape[-2:] == (height, width):
            return x  # padding by nothing would copy it
        return torch.nn.functional.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]), value=value)

    batch: Sample = {
        "image": torch.stack([padded(sample["image"], 0) for sample in samples]),
        "mask": torch.stack([padded(sample["mask"], VOID) for sample in samples]),
        "id": [sample["id"] for sample in samples],
    }
    if "size" in samples[0]:
        batch["size"] = torch.stack([sample["size"] for sample in samples])
    return batch

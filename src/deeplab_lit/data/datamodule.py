"""Data module of Lightning: a data set, its transforms and its loaders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.loader_processes import Loader, loader_processes
from deeplab_lit.data.normalization import IMAGENET, Normalization
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
        eval_batch_size: examples in a validation batch of one process.
        num_workers: loader processes; 0 loads in the training process.
        seed: seed of the order and the augmentation of the training examples.
        normalization: of the images, for the network's input.

    Attributes:
        weights: how often each training example is drawn (see :class:`TrainSampler`); None: all equally often.
        unseen: a sentence on classes that the training masks lack (see :func:`unseen_classes`); None: they lack none.
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
        normalization: Normalization = IMAGENET,
    ) -> None:
        super().__init__()
        self.source, self.labels, self.normalization = source, source.labels, normalization
        self.train_split, self.val_split = source.split("train"), source.split("val")
        self._train, self._val = (
            TrainSet(self.train_split, train_transform),
            EvalSet(self.val_split, eval_transform),
        )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.weights: NDArray[np.float64] | None = None
        self.unseen: str | None = None
        self._resumed: int | None = None  # draws before the resume
        self._started: tuple[int, int] | None = None  # optimiser steps and draws when the training loader was made

    def val_sample(self, index: int) -> Sample:
        """One validation sample, as the loader gives it."""
        return self._val[index]

    def _world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @property
    def _each_step(self) -> int:
        """Draws of one process in an optimiser step."""
        assert self.trainer is not None
        return self.batch_size * self.trainer.accumulate_grad_batches

    def state_dict(self) -> dict[str, Any]:
        """The number of training examples that all processes together have drawn."""
        assert self.trainer is not None
        steps, drawn = self._started or self._begin()
        return {"drawn": drawn + (self.trainer.global_step - steps) * self._each_step * self._world()[1]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict["drawn"]

    def _begin(self) -> tuple[int, int]:
        """The optimiser steps and the draws of a new or resumed training before its first step."""
        assert self.trainer is not None
        step = self.trainer.global_step
        # checkpoints of earlier releases lack the number of draws
        return step, step * self._each_step * self._world()[1] if self._resumed is None else self._resumed

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches from the trainer's current step to its last one."""
        assert self.trainer is not None
        rank, world = self._world()
        if len(self._val) < world:
            raise UserError(
                f"{len(self._val)} validation image(s) for {world} processes: each needs at least one; lower "
                "trainer.devices."
            )
        step, drawn = self._started = self._begin()
        # Lightning counts batches; a run that is resumed may have accumulated another number of them in a step
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        moved = step * self.trainer.accumulate_grad_batches - progress.current.ready
        for counts in (progress.current, progress.total):
            for name in ("ready", "started", "processed", "completed"):
                setattr(counts, name, getattr(counts, name) + moved)
        sampler = TrainSampler(
            len(self.train_split),
            draws=(self.trainer.max_steps - step) * self._each_step,
            seed=self.seed,
            start=drawn,
            rank=rank,
            world=world,
            weights=self.weights,
            before=step * self._each_step,
        )
        return self._loader(self._train, sampler, self.batch_size, stacked)

    def val_dataloader(self) -> DataLoader[list[Sample]]:
        """The whole validation split in the order of its list; each batch is a list of :func:`of_equal_size`."""
        rank, world = self._world()
        return self._loader(self._val, EvalSampler(len(self._val), rank, world), self.eval_batch_size, of_equal_size)

    def _loader(
        self, dataset: Dataset[Sample], sampler: Any, batch_size: int, collate: Callable[[list[Sample]], Any]
    ) -> DataLoader[Any]:
        return Loader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **loader_processes(self.num_workers, self._world()[1]),
        )


def stacked(samples: list[Sample]) -> Sample:
    """A batch of samples of one size: their tensors are stacked, and ``id`` is a list."""
    return {
        name: [sample[name] for sample in samples]
        if name == "id"
        else torch.stack([sample[name] for sample in samples])
        for name in samples[0]
    }


def of_equal_size(samples: list[Sample]) -> list[Sample]:
    """A batch for each size of the samples, in the order in which the sizes appear.

    Padding to one size would change the scores near the borders of the smaller images.
    """
    sizes: dict[torch.Size, list[Sample]] = {}
    for sample in samples:
        sizes.setdefault(sample["mask"].shape, []).append(sample)
    return [stacked(each) for each in sizes.values()]

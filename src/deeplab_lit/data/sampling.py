"""Sampling: the examples that a process reads and their order, a function of the seed and the position alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

Draw = tuple[int, int]
"""(index of the example, seed of its augmentation)."""


class TrainSampler(Sampler[Draw]):
    """A part of an endless shuffled stream of examples.

    All processes of a training, and all its resumes, share one stream of draws. Draw ``k`` is the same in every
    training with the same seed. Process ``rank`` of ``world`` takes every ``world``-th draw from ``start`` on, so that
    the batches of all processes together are the batch of one process.

    Args:
        examples: size of the training set.
        draws: the number of draws of this process.
        seed: seed of the order and the augmentation.
        start: the number of draws that all processes together have done before.
        rank, world: the number of this process, from 0, and the number of processes.
        weights: the relative frequency of each example (N,); None: all equal. A pass has as many draws as there are
            examples. In a pass the draws of an example are its exact share, rounded up or down.
        before: draws that the length counts beside ``draws``, as Lightning expects of a loader whose run is resumed.
    """

    def __init__(
        self,
        examples: int,
        draws: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        weights: NDArray[np.float64] | None = None,
        before: int = 0,
    ) -> None:
        self.examples, self.draws, self.seed, self.before = examples, draws, seed, before
        self.start, self.rank, self.world, self.weights = start, rank, world, weights

    def __len__(self) -> int:
        return self.before + self.draws

    def __iter__(self) -> Iterator[Draw]:
        order, epoch = np.empty(0, np.int64), -1
        for own in range(self.draws):
            position = self.start + own * self.world + self.rank
            if position // self.examples != epoch:
                epoch = position // self.examples
                order = self._order(np.random.default_rng((self.seed, epoch)))
            augmentation = np.random.SeedSequence((self.seed, 1, position)).generate_state(1)[0]
            yield int(order[position % self.examples]), int(augmentation)

    def _order(self, draw: np.random.Generator) -> NDArray[np.int64]:
        if self.weights is None:
            return draw.permutation(self.examples)
        # systematic sampling: equally spaced marks on the line of summed weights
        ends = np.cumsum(self.weights) / self.weights.sum() * self.examples
        marks = np.arange(self.examples) + draw.random()
        return draw.permutation(np.searchsorted(ends, marks).clip(max=self.examples - 1))


class EvalSampler(Sampler[int]):
    """Every ``world``-th example from ``rank`` on, so that exactly one process reads each example."""

    def __init__(self, examples: int, rank: int = 0, world: int = 1) -> None:
        self._mine = range(rank, examples, world)

    def __len__(self) -> int:
        return len(self._mine)

    def __iter__(self) -> Iterator[int]:
        return iter(self._mine)

"""Batch normalisation that is held fixed, statistics and affine (V2, section 4.1: fine-tuning from ImageNet)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that always uses its stored statistics.

    It stays so whatever ``train()`` is called on a parent, such as after a validation pass. Its parameters still count
    as parameters of the network, as they do in the papers.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        super().train(False)
        return self


@functools.cache
def _frozen(kind: type[nn.BatchNorm2d]) -> type[nn.BatchNorm2d]:
    """The class that is ``kind`` held fixed; what else ``kind`` does, such as an activation, it still does."""
    return (
        FrozenBatchNorm2d if kind is nn.BatchNorm2d else type(f"Frozen{kind.__name__}", (FrozenBatchNorm2d, kind), {})
    )


def freeze_norm(module: nn.Module, affine: bool = True) -> None:
    """Hold every ``BatchNorm2d`` inside ``module`` fixed, keeping its parameters, statistics and state-dict keys.

    With ``affine=False`` the statistics alone are held, and scale and shift are trained.
    """
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and not isinstance(layer, FrozenBatchNorm2d):
            layer.__class__ = _frozen(type(layer))  # type: ignore[arg-type]
            layer.train(False)
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(not affine)


@contextmanager
def statistics_held(module: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation that is trained normalises as ever, but its running statistics stay as they are."""
    held = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d) and layer.training]
    before = [(layer.momentum, layer.num_batches_tracked) for layer in held]
    for layer in held:
        layer.momentum, layer.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for layer, (momentum, counter) in zip(held, before, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, counter

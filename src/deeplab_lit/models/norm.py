"""Batch normalisation with frozen statistics, and statistics over all processes (V2, section 4.1: fine-tuning)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that always uses its stored statistics.

    ``train()``, called on a parent such as after a validation, does not change that. Its scale and shift are still
    parameters of the network, as in the papers.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        super().train(False)
        return self


@functools.cache
def _frozen(kind: type[nn.BatchNorm2d]) -> type[nn.BatchNorm2d]:
    """The frozen class of ``kind``, which keeps the other parts of ``kind``, such as an activation."""
    return (
        FrozenBatchNorm2d if kind is nn.BatchNorm2d else type(f"Frozen{kind.__name__}", (FrozenBatchNorm2d, kind), {})
    )


def freeze_norm(module: nn.Module, affine: bool = True) -> None:
    """Freeze every ``BatchNorm2d`` inside ``module``, keeping its parameters, statistics and state-dict keys.

    With ``affine=False``, only the statistics are frozen, and scale and shift are trained.
    """
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and not isinstance(layer, FrozenBatchNorm2d):
            layer.__class__ = _frozen(type(layer))  # type: ignore[arg-type]
            layer.train(False)
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(not affine)


def has_trained_norms(module: nn.Module) -> bool:
    """Whether batch normalisation inside ``module`` updates its statistics in training."""
    return bool(running_statistics(module))


def running_statistics(module: nn.Module) -> list[Tensor]:
    """The statistics that batch normalisation inside ``module`` updates in training, float32 (channels,) each."""
    trained = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    return [
        buffer
        for each in trained
        if not isinstance(each, FrozenBatchNorm2d)
        for buffer in (each.running_mean, each.running_var)
        if buffer is not None
    ]


class _Synchronised(nn.SyncBatchNorm):
    """Batch normalisation of the class ``own`` with the batch statistics of all processes."""

    own: type[nn.Module]
    process_group: Any = None  # all processes

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return self.own.forward(self, input)
        found = super().forward(input)
        # timm's BatchNormAct2d includes dropout and an activation
        activation: Any = self
        return activation.act(activation.drop(found)) if hasattr(self, "act") and hasattr(self, "drop") else found


@functools.cache
def _synchronised(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Synchronised{kind.__name__}", (_Synchronised, kind), {"own": kind})


def synchronise_norms(module: nn.Module) -> None:
    """Share the batch statistics of trained batch normalisation between processes, in place; on GPUs alone.

    PyTorch's ``convert_sync_batchnorm`` replaces the modules. Here the modules stay, since convolutions hold the
    normalisations that are folded into their filters (:func:`deeplab_lit.models.folding.fold_norms`). Frozen batch
    normalisation, which has no batch statistics, does not change.
    """
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, (FrozenBatchNorm2d, nn.SyncBatchNorm)):
            layer.__class__ = _synchronised(type(layer))  # type: ignore[assignment, arg-type]


def unsynchronise_norms(module: nn.Module) -> None:
    """Undo :func:`synchronise_norms`."""
    for layer in module.modules():
        if isinstance(layer, _Synchronised):
            layer.__class__ = layer.own  # type: ignore[assignment]


@contextmanager
def unchanged_running_statistics(module: nn.Module) -> Iterator[None]:
    """A context in which trained batch normalisation does not update its running statistics."""
    held = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.training]
    before = [(layer.momentum, None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone())
              for layer in held]  # fmt: skip
    for layer in held:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, (momentum, counter) in zip(held, before, strict=True):
            layer.momentum = momentum
            if counter is not None and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.copy_(counter)

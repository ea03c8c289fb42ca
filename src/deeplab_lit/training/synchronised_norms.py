"""Synchronised batch normalisation (statistics over all processes), as a plugin of ``lightning.Trainer``."""

from __future__ import annotations

from lightning.pytorch.plugins import LayerSync
from torch import nn

from deeplab_lit.models.norm import synchronise_norms, unsynchronise_norms


class SynchronisedNorms(LayerSync):
    """The plugin of ``trainer.sync_batchnorm=true``; see :func:`deeplab_lit.models.norm.synchronise_norms`."""

    def apply(self, model: nn.Module) -> nn.Module:
        synchronise_norms(model)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        unsynchronise_norms(model)
        return model

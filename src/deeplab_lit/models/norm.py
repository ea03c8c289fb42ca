"""Batch normalisation that is held fixed, statistics and affine (V2, section 4.1: fine-tuning from ImageNet)."""

from __future__ import annotations

from torch import nn


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that always uses its stored statistics.

    It stays so whatever ``train()`` is called on a parent, such as after a validation pass. Its parameters still count
    as parameters of the network, as they do in the papers.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        super().train(False)
        return self


def freeze_norm(module: nn.Module, affine: bool = True) -> None:
    """Hold every ``BatchNorm2d`` inside ``module`` fixed, keeping its parameters, statistics and state-dict keys.

    With ``affine=False`` the statistics alone are held, and scale and shift are trained.
    """
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, FrozenBatchNorm2d):
                frozen = FrozenBatchNorm2d(child.num_features, eps=child.eps)
                frozen.load_state_dict(child.state_dict())
                frozen.requires_grad_(not affine).train(False)
                setattr(parent, name, frozen)

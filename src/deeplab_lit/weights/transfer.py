"""Transfer of weights to a network: which tensors were taken, which are new, which were left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.widened import widened


@dataclass(frozen=True)
class Transfer:
    """Names of tensors: ``taken`` and ``new`` are of the network, ``left`` are of the source."""

    taken: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        return f"taken: {_short(self.taken)}; new: {_short(self.new)}; left: {_short(self.left)}"


def _short(names: Iterable[str]) -> str:
    """Names grouped by module, with the number of tensors of each: ``trunk (318), head.classifier (2)``."""
    groups: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        group = parts[0] if parts[0] == "trunk" else ".".join(parts[:-1] or parts)
        groups[group] = groups.get(group, 0) + 1
    shown = [f"{group} ({count})" for group, count in list(groups.items())[:6]]
    more = [f"{len(groups) - 6} more groups"] if len(groups) > 6 else []
    return ", ".join(shown + more) or "nothing"


def take(network: DeepLab, weights: Mapping[str, Tensor], source: str) -> Transfer:
    """Copy the tensors of ``weights`` whose names the network has; its other tensors do not change.

    Args:
        network: the network.
        weights: tensors under the network's names, of RGB images or of the images that the network takes.
        source: the name of the file, for messages.

    Raises:
        UserError: a tensor has another shape, or the trunk is incomplete: the weights belong to another network.
    """
    weights = widened(weights, network)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name in own.keys() & weights.keys():
        if own[name].shape != weights[name].shape:
            raise UserError(
                f"{source} is of another network: its {name} is {tuple(weights[name].shape)}, this one's "
                f"{tuple(own[name].shape)}; choose the backbone that it was made with."
            )
    absent = [name for name in own if name.startswith("trunk.") and name not in weights]
    if absent:
        raise UserError(
            f"{source} is of another network: it has no {absent[0]!r} ({len(absent)} tensors of the trunk are not in "
            "it); choose the backbone that it was made with."
        )
    with torch.no_grad():
        for name in own.keys() & weights.keys():
            own[name].copy_(weights[name])
    taken = tuple(name for name in own if name in weights)
    new = tuple(name for name in own if name not in weights)
    left = tuple(name for name in weights if name not in own and not name.endswith("num_batches_tracked"))
    return Transfer(taken, new, left)

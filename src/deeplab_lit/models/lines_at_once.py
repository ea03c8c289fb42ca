"""Scale and shift of all frozen normalisations whose scale and shift are trained, computed at once.

Each of these layers has a handful of operations on as many values as it has channels. On a GPU, starting them takes
longer than they do. Joined, they are the operations of one layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from deeplab_lit.models.atrous import AtrousConv2d
from deeplab_lit.models.computed_once import ComputedOnce
from deeplab_lit.models.folding import FoldableBatchNorm2d


class LinesAtOnce:
    """The normalisations inside ``trunk`` that are folded into filters; the values and the gradients do not change."""

    def __init__(self, trunk: nn.Module) -> None:
        self._convs = [layer for layer in trunk.modules() if isinstance(layer, AtrousConv2d) and layer.norm]
        self._statistics = ComputedOnce()

    @contextmanager
    def computed(self) -> Iterator[None]:
        """A context, around one pass, in which each normalisation that can has its scale and shift already."""
        norms = self._norms()
        if norms:
            weights, biases = ([getattr(norm, name) for norm in norms] for name in ("weight", "bias"))
            means, variances = ([getattr(norm, name) for norm in norms] for name in ("running_mean", "running_var"))

            def compute() -> tuple[Tensor, Tensor]:
                inverse, negated = zip(*(norm.standardisation() for norm in norms), strict=True)
                return torch.cat(inverse), torch.cat(negated)

            inverse, negated = self._statistics.of(compute, *means, *variances)
            scale = inverse * torch.cat(weights)
            shift = negated * scale + torch.cat(biases)
            sizes = [len(each) for each in weights]
            for norm, *line in zip(norms, torch.split(scale, sizes), torch.split(shift, sizes), strict=True):
                norm.given = line[0], line[1]
        try:
            yield
        finally:
            for norm in norms:
                norm.given = None

    def _norms(self) -> list[FoldableBatchNorm2d]:
        """Those that are computed at once in the next pass; none if filters are kept."""
        if any(conv.kept for conv in self._convs):
            return []
        norms = [norm for conv in self._convs if conv.bias is None for norm in conv.norm]
        found = [norm for norm in norms if isinstance(norm, FoldableBatchNorm2d) and norm.trains_line]
        places = {(norm.weight.device, norm.weight.dtype) for norm in found}
        return found if len(places) == 1 else []

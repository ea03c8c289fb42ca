"""The dense CRF as a layer of a network, and the engine ``torch``."""

from __future__ import annotations

import functools
import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deeplab_lit.crf import tensor_lattice
from deeplab_lit.crf.parameters import Normalization, Parameters, Width
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.device import own_device

_LEAST = 1e-5  # lower bound of probabilities, as in pydensecrf


class CRFLayer(nn.Module):
    """Mean-field inference with gradients to the scores and to the weights of the two kernels.

    Args:
        bilateral_weight, bilateral_xy_std, bilateral_rgb_std, gaussian_weight, gaussian_xy_std, iterations,
            normalization: as in :class:`deeplab_lit.crf.DenseCRF`. The weights are parameters.

    Attributes:
        bilateral_weight, gaussian_weight: the parameters, scalars.
    """

    def __init__(
        self,
        bilateral_weight: float,
        bilateral_xy_std: Width,
        bilateral_rgb_std: Width,
        gaussian_weight: float,
        gaussian_xy_std: Width,
        iterations: int = 10,
        normalization: Normalization = "after",
    ) -> None:
        super().__init__()
        self.bilateral_weight = nn.Parameter(torch.tensor(float(bilateral_weight)))
        self.gaussian_weight = nn.Parameter(torch.tensor(float(gaussian_weight)))
        self.bilateral_xy_std, self.bilateral_rgb_std = bilateral_xy_std, bilateral_rgb_std
        self.gaussian_xy_std = gaussian_xy_std
        self.iterations, self.normalization = iterations, normalization

    def forward(self, image: Tensor, scores: Tensor, more: Tensor | None = None) -> Tensor:
        """The logarithms of the marginals (N, C, H, W).

        Args:
            image: RGB from 0 to 255, (N, 3, H, W).
            scores: logits or log-probabilities (N, C, H, W).
            more: further channels (N, K, H, W) of the appearance kernel, in units of its deviation.
        """
        batch, classes, height, width = scores.shape
        # in single precision, for sums over many pixels and for the rounding of lattice coordinates
        with torch.autocast(scores.device.type, enabled=False):
            precise = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
            unary = precise.log_softmax(1).flatten(2).transpose(1, 2)  # (N, P, C)
            with torch.no_grad():
                place = _positions(height, width).to(unary)
                colour = _over(image.to(unary).flatten(2).transpose(1, 2), self.bilateral_rgb_std)
                others = [] if more is None else [more.to(unary).flatten(2).transpose(1, 2)]
                features = torch.cat([_over(place, self.bilateral_xy_std).expand(batch, -1, -1), colour, *others], 2)
                appearance = _Normalized(tensor_lattice.build(features), unary, self.normalization)
                smooth = tensor_lattice.build(_over(place, self.gaussian_xy_std)[None])
                # one lattice for all images, whose values are rows beside each other, as those of classes are
                smoothness = _Normalized(smooth, unary[:1], self.normalization)
            result = unary
            for _ in range(self.iterations):
                q = result.softmax(2)
                near = appearance(q.reshape(-1, classes)).view_as(q)
                flat = q.transpose(0, 1).reshape(height * width, batch * classes)
                close = smoothness(flat).view(height * width, batch, classes).transpose(0, 1)
                result = unary + self.bilateral_weight * near + self.gaussian_weight * close
            return result.log_softmax(2).transpose(1, 2).reshape(batch, classes, height, width).contiguous()


class _Normalized:
    """A filter of the CRF, with its normalisation."""

    def __init__(self, lattice: tensor_lattice.TensorLattice, like: Tensor, normalization: str) -> None:
        self._lattice = lattice
        sums = lattice.filter(like.new_ones(len(lattice.vertices), 1)) + 1e-20
        one = torch.ones_like(sums)
        self._before = {"symmetric": sums.rsqrt(), "before": 1 / sums}.get(normalization, one)
        self._after = {"symmetric": sums.rsqrt(), "after": 1 / sums}.get(normalization, one)

    def __call__(self, values: Tensor) -> Tensor:
        return self._lattice.filter(values * self._before) * self._after


def _over(values: Tensor, width: Width) -> Tensor:
    return values / (values.new_tensor(width) if isinstance(width, tuple) else width)


def _positions(height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns.reshape(-1), rows.reshape(-1)], 1)


def refine(crf: Parameters, image: Bytes | Floats, probabilities: Floats, more: Floats | None) -> Floats:
    """Marginals (C, H, W) of an image, on the device of ``crf``; see :class:`deeplab_lit.crf.DenseCRF`.

    Whatever the iterations and the classes, four values are read from the device, and then the result.
    """
    device = own_device(crf.device)
    if device.type == "mps":  # Apple's GPUs lack some of the operations
        device = torch.device("cpu")
    names = ("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std", "gaussian_weight", "gaussian_xy_std")
    settings: dict[str, Any] = {name: getattr(crf, name) for name in (*names, "iterations", "normalization")}
    with torch.inference_mode(), _stream(device):
        layer = CRFLayer(**settings).to(device)
        scores = torch.from_numpy(np.maximum(probabilities, np.float32(_LEAST))).to(device).log()
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(device)
        others = None if more is None else torch.from_numpy(more.transpose(2, 0, 1)).to(device)[None]
        return layer(pixels[None], scores[None], others)[0].exp().cpu().numpy()


def _stream(device: torch.device) -> Any:
    """A stream of a GPU for the calling thread, beside the default one, on which the network runs.

    All threads share two, since memory that one stream has freed is not given to another.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.cuda.stream(_streams(device)[threading.get_native_id() % 2])


@functools.cache
def _streams(device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
    return torch.cuda.Stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

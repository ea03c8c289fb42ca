"""The permutohedral lattice as sparse linear algebra on tensors: batched, on any device, with gradients.

The filter is ``S B_d ... B_0 S^T``. S holds the weights of each pixel at the vertices of its simplex. B_j blurs along
one of the d + 1 directions. All are sparse matrices with few entries in a row, applied as weighted sums of rows. Each
B_j is symmetric, so the transposed filter is the filter with its directions in reverse order. The backward pass is
therefore another filtering, which needs no activations of the forward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplab_lit.utils.errors import UserError

_TOO_SMALL = "the deviations of the CRF are too small for this image: its lattice would have too many points."


@dataclass(frozen=True)
class TensorLattice:
    """The lattices of a batch: the vertices and weights of its pixels, and the neighbours of its points.

    Attributes:
        vertices: the lattice points of each pixel's simplex (N, d + 1).
        weights: the pixel's weight at each of them (N, d + 1); they sum to 1.
        starts, pixels, shares: the same by lattice point: entries ``starts[p]:starts[p + 1]`` belong to point p.
        neighbours: each point and its two neighbours along each direction (d + 1, M, 3); M, a row of zeros, stands
            for none.
        blur: the weights of a point and of its two neighbours (M, 3).
    """

    vertices: Tensor
    weights: Tensor
    starts: Tensor
    pixels: Tensor
    shares: Tensor
    neighbours: Tensor
    blur: Tensor

    def filter(self, values: Tensor) -> Tensor:
        """Filter values (N, L) with the Gaussian of the features; differentiable in the values, to any order."""
        return _Filter.apply(values, self, False)

    def _run(self, values: Tensor, reverse: bool) -> Tensor:
        # an empty bag has the sum zero
        points = F.embedding_bag(self.pixels, values, self.starts, mode="sum", per_sample_weights=self.shares)
        directions = range(len(self.neighbours))
        for direction in reversed(directions) if reverse else directions:
            padded = torch.cat([points, points.new_zeros(1, points.shape[1])])
            points = F.embedding_bag(self.neighbours[direction], padded, mode="sum", per_sample_weights=self.blur)
        found = F.embedding_bag(self.vertices, points, mode="sum", per_sample_weights=self.weights)
        # the weights of the blurs add up to more than 1
        return found / (1 + 2.0 ** -(self.vertices.shape[1] - 1))


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: TensorLattice, reverse: bool) -> Tensor:
        ctx.lattice, ctx.reverse = lattice, reverse
        return lattice._run(values.contiguous(), reverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Filter.apply(gradient, ctx.lattice, not ctx.reverse), None, None


def build(features: Tensor) -> TensorLattice:
    """The lattices of the images of a batch.

    Two values are read from the device: the range of the features, and that of the lattice points. The filter reads
    none.

    Args:
        features: (B, P, d), float32 or float64, in units of the Gaussian's deviation. Images have no common points.

    Raises:
        UserError: the features have too large a range, since the deviations are too small.
    """
    batch, pixels, d = features.shape
    # above it, single precision does not resolve the position of a pixel in its simplex
    if float((features.amax(1) - features.amin(1)).amax()) > 2**20 / (2 * d):
        raise UserError(_TOO_SMALL)
    keys, weights, deltas = _embed(features)
    found, vertices = torch.unique(keys, return_inverse=True)
    vertices = vertices.view(batch * pixels, d + 1)
    count = len(found)
    itself = torch.arange(count, device=features.device)
    neighbours = [torch.stack([itself, _find(found, found + s), _find(found, found - s)], 1) for s in deltas]
    by_point, order = torch.sort(vertices.reshape(-1), stable=True)
    starts = torch.searchsorted(by_point, itself)
    pixel_of = torch.div(order, d + 1, rounding_mode="floor")
    blur = weights.new_full((count, 3), 0.5)
    blur[:, 0] = 1
    return TensorLattice(vertices, weights, starts, pixel_of, weights.reshape(-1)[order], torch.stack(neighbours), blur)


def _find(found: Tensor, wanted: Tensor) -> Tensor:
    place = torch.searchsorted(found, wanted).clamp(max=len(found) - 1)
    return torch.where(found[place] == wanted, place, len(found))


def _embed(features: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Keys (B * P, d + 1) of each pixel's vertices, its weights there, and the step of keys along each direction."""
    batch, pixels, d = features.shape
    scale = [math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    scaled = features.reshape(batch * pixels, d) * features.new_tensor(scale)
    # to the plane of coordinates that sum to 0
    later = torch.cat([scaled.flip(1).cumsum(1).flip(1), torch.zeros_like(scaled[:, :1])], 1)
    before = torch.cat([torch.zeros_like(scaled[:, :1]), scaled * torch.arange(1, d + 1, device=features.device)], 1)
    elevated = later - before
    # the nearest point whose coordinates are multiples of d + 1, moved back to the plane if rounding left it
    quotient = torch.floor(elevated / (d + 1) + 0.5)
    rest = quotient * (d + 1)
    own = elevated - rest
    earlier = torch.ones(d + 1, d + 1, dtype=torch.bool, device=features.device).tril(-1)
    greater = own[:, None, :] > own[:, :, None]
    rank = (greater | ((own[:, None, :] == own[:, :, None]) & earlier)).sum(2) + quotient.sum(1, keepdim=True).long()
    low, high = rank < 0, rank > d
    rank = rank + (d + 1) * (low.long() - high.long())
    rest = rest + (d + 1) * (low.to(rest.dtype) - high.to(rest.dtype))
    share = scaled.new_zeros(len(scaled), d + 2)
    value = (elevated - rest) / (d + 1)
    share.scatter_add_(1, d - rank, value).scatter_add_(1, d + 1 - rank, -value)
    share[:, 0] += 1 + share[:, d + 1]
    steps, first, size = _packing(rest.long(), batch)
    strides = first.new_tensor(steps)
    image = torch.arange(batch, device=features.device).repeat_interleave(pixels) * size
    key = ((rest[:, :d].long() - first) * strides).sum(1) + image
    # at the next vertex every coordinate is larger by 1, except the one of the last remaining rank, smaller by d
    own_stride = torch.cat([strides, strides.new_zeros(1)]).expand(len(scaled), d + 1)
    by_rank = torch.empty_like(rank).scatter_(1, rank, own_stride)
    moves = sum(steps) - (d + 1) * by_rank.flip(1)[:, :d]
    keys = torch.cat([key[:, None], key[:, None] + moves.cumsum(1)], 1)
    deltas = [(d + 1) * step - sum(steps) for step in (*steps, 0)]
    return keys, share[:, : d + 1].contiguous(), deltas


def _packing(rest: Tensor, batch: int) -> tuple[list[int], Tensor, int]:
    """Strides and origin that pack a point's first d coordinates into one integer, and the range of an image's keys."""
    d = rest.shape[1] - 1
    margin = 3 * (d + 1)  # the largest distance of a vertex and a neighbour
    low, high = rest[:, :d].amin(0) - margin, rest[:, :d].amax(0) + margin
    sizes = (high - low + 1).tolist()
    if math.prod(sizes) * batch >= 2**62:
        raise UserError(_TOO_SMALL)
    return [math.prod(sizes[j + 1 :]) for j in range(d)], low, math.prod(sizes)

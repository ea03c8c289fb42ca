"""The dense energy of a segmentation: small where pixels that are near and alike have the same class probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from deeplab_lit.crf import tensor_lattice
from deeplab_lit.crf.bilateralfilter import bilateralfilter_batch
from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.models.resize import resize


def dense_energy(
    scores: Float[Tensor, "batch classes _ _"],
    images: UInt8[Tensor, "batch 3 height width"],
    boxes: Int[Tensor, "batch 4"],
    rgb_std: float = 15.0,
    xy_std: float = 100.0,
    scale: float = 0.5,
    align_corners: bool = True,
) -> Float[Tensor, ""]:
    """The mean over images of minus the sum over classes c and pairs of pixels p, q of k(p, q) S(c, p) S(c, q).

    S is the softmax of the scores that are upsampled to the crop, taken at ``scale`` of the crop's size (bilinearly),
    and 0 in the padding. With the places x at this size and the bytes I of the image at the nearest pixels,

        k(p, q) = exp(-|x_p - x_q|^2 / (2 (scale xy_std)^2) - |I_p - I_q|^2 / (2 rgb_std^2))

    The sum includes p = q. The sum over q is that of :mod:`deeplab_lit.crf.bilateralfilter`, which is 0.4 to 0.6 of
    the exact one; so is the energy. The gradient in S is -2 / batch * (sum over q of k(p, q) S(c, q)), with the same
    approximation.

    Args:
        scores: at any stride.
        images: RGB bytes of the crops.
        boxes: first row, last row + 1, first column and last column + 1 of the image in each crop; the rest is padding.
        rgb_std: grey levels.
        xy_std: pixels of the crop.
        scale: in (0, 1].
        align_corners: whether the upsampling aligns corner pixels.

    Returns:
        A scalar, negative; in float32 on the scores' device.
    """
    full = (images.shape[-2], images.shape[-1])
    size = tuple(max(1, int(side * scale)) for side in full)
    probabilities = resize(scores.float(), full, align_corners).softmax(1)
    small = F.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)
    colours = F.interpolate(images.float(), size=size)
    real = F.interpolate(_inside(boxes, full)[:, None].float(), size=size)
    energy: Tensor = _Energy.apply(small * real, colours, rgb_std, xy_std * scale)
    return energy


def _inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Which pixels of each crop are of the image: bool (N, H, W)."""
    top, bottom, left, right = boxes[:, :, None].unbind(1)
    rows, columns = (torch.arange(side, device=boxes.device) for side in size)
    return ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, segmentation: Tensor, colours: Tensor, rgb_std: float, xy_std: float) -> Tensor:
        with torch.autocast(segmentation.device.type, enabled=False):
            filtered = _filtered(segmentation, colours, rgb_std, xy_std)
            ctx.save_for_backward(filtered)
            return -(segmentation * filtered).sum() / len(segmentation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_energy: Tensor) -> tuple[Tensor, None, None, None]:
        (filtered,) = ctx.saved_tensors
        return -2 * of_energy / len(filtered) * filtered, None, None, None


def _is_compiled(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and has_numba()


def _filtered(segmentation: Tensor, colours: Tensor, rgb_std: float, xy_std: float) -> Tensor:
    """The sum over q of k(p, q) S(c, q), of the shape of S, on its device."""
    batch, classes, height, width = segmentation.shape
    if _is_compiled(segmentation):
        segs, images = segmentation.detach().numpy(), colours.numpy()
        found = np.empty(segs.shape, np.float32)
        bilateralfilter_batch(
            np.ascontiguousarray(images), np.ascontiguousarray(segs), found, batch, classes, height, width, rgb_std,
            xy_std,
        )  # fmt: skip
        return torch.from_numpy(found)
    rows, columns = (torch.arange(side, device=colours.device, dtype=torch.float32) for side in (height, width))
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1]).flatten(1).expand(batch, 2, -1)
    features = torch.cat([place / xy_std, colours.flatten(2) / rgb_std], 1).transpose(1, 2)
    values = segmentation.detach().flatten(2).transpose(1, 2).reshape(-1, classes)
    filtered = tensor_lattice.build(features).filter(values)
    return filtered.reshape(batch, height * width, classes).transpose(1, 2).reshape(segmentation.shape)

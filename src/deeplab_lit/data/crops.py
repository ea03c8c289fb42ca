"""Crops of scaled images and masks, and images as planes of floats; compiled by numba, or by OpenCV without numba."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.labels import VOID
from deeplab_lit.kernels.loading import has_numba
from deeplab_lit.utils.arrays import Bytes, Floats, Pixels


def scaled_crop(
    image: Pixels,
    mask: Bytes,
    scaled: tuple[int, int],
    corner: tuple[int, int],
    side: int,
    mirrored: bool,
    fill: tuple[int, ...],
) -> tuple[Pixels, Bytes]:
    """A square crop of an image (H, W, C) and of its mask (H, W) after resizing.

    The image is resized with bilinear interpolation, the mask to the nearest pixel.

    Args:
        image, mask: the example before resizing.
        scaled: height and width after resizing.
        corner: row and column of the crop's upper left corner in the resized image.
        side: height and width of the crop in pixels.
        mirrored: flip the crop from left to right.
        fill: the C values of the crop's pixels beyond the image; the mask is void there.

    Returns:
        The crop (side, side, C), of the image's type, and its mask (side, side), uint8.
    """
    crop, crop_mask = np.empty((side, side, len(fill)), image.dtype), np.empty((side, side), np.uint8)
    if has_numba():
        from deeplab_lit.kernels import crop as kernels

        image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
        kernels.crop_scaled(image, mask, *scaled, *corner, mirrored, fill, np.uint8(VOID), crop, crop_mask)
        return crop, crop_mask
    rows, columns = (slice(start, start + side) for start in corner)
    whole = cv2.resize(image, scaled[::-1], interpolation=cv2.INTER_LINEAR)
    whole = whole.reshape(*scaled, len(fill))[rows, columns]  # OpenCV takes the axis of one channel away
    labels = cv2.resize(mask, scaled[::-1], interpolation=cv2.INTER_NEAREST_EXACT)[rows, columns]
    crop[:], crop_mask[:] = fill, VOID
    crop[: whole.shape[0], : whole.shape[1]], crop_mask[: whole.shape[0], : whole.shape[1]] = whole, labels
    return (crop[:, ::-1].copy(), crop_mask[:, ::-1].copy()) if mirrored else (crop, crop_mask)


def scaled_weights(
    weights: Floats, scaled: tuple[int, int], corner: tuple[int, int], side: int, mirrored: bool
) -> Floats:
    """The square crop (side, side) of weights of pixels (H, W): those of the pixels that :func:`scaled_crop` reads.

    They are 0 beyond the image. The other arguments are those of :func:`scaled_crop`.
    """
    crop = np.zeros((side, side), np.float32)
    rows, columns = (
        (2 * np.arange(start, min(new, start + side)) + 1) * old // (2 * new)
        for start, new, old in zip(corner, scaled, weights.shape, strict=True)
    )
    crop[: len(rows), : len(columns)] = weights[rows[:, None], columns]
    return crop[:, ::-1].copy() if mirrored else crop


def planes(image: Pixels, table: NDArray[np.float32], channels: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Fill the upper left (H, W) of ``out`` (C, h, w) from an image (H, W, C) by table look-up.

    Plane c of ``out`` holds the entries of ``table[c]``, one for each value of 8 or 16 bits, at the values of the
    image's channel ``channels[c]``.
    """
    if has_numba():
        from deeplab_lit.kernels import crop as kernels

        kernels.planes(np.ascontiguousarray(image), table, channels, out)
        return
    height, width = image.shape[:2]
    for c, channel in enumerate(channels):
        out[c, :height, :width] = table[c][image[..., channel]]

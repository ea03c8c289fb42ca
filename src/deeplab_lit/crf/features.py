"""Features of pixels, by whose distances the CRF's kernels weigh pairs of them (V2, equation 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from deeplab_lit.crf.parameters import Parameters
from deeplab_lit.kernels.buffers import Allocate, new_array
from deeplab_lit.utils.arrays import Bytes, Floats, Pixels
from deeplab_lit.utils.errors import UserError

Seen = Literal["rgb", "mean_subtracted_bgr"]


def seen(image: Bytes, kind: Seen) -> Bytes:
    """The image (H, W, 3) whose colours the CRF compares, of RGB bytes.

    ``"rgb"`` is the image itself. ``"mean_subtracted_bgr"`` is the input of a Caffe network, cast to bytes: BGR minus
    the mean, cut to whole numbers, modulo 256. Dark and bright pixels of it lie close to each other.
    """
    if kind == "rgb":
        return image
    from deeplab_lit.data.normalization import BGR_BYTES  # here, since it imports torch

    values = (image - np.array(BGR_BYTES.mean, np.float32))[..., ::-1]
    return np.ascontiguousarray(np.trunc(values).astype(np.int32).astype(np.uint8))


def colours(image: Pixels, channels: Sequence[int] | None, kind: Seen) -> Bytes | Floats:
    """What the CRF compares of an image (H, W, C): bytes, or 16 bits as float32 from 0 to 255; (H, W, K).

    Args:
        image: as it was read.
        channels: the K channels; None: the first three, or all if there are fewer.
        kind: see :func:`seen`.

    Raises:
        UserError: the image lacks a channel, or ``kind`` is for RGB bytes and the chosen channels are not.
    """
    count = image.shape[2]
    if channels is not None and max(channels) >= count:
        raise UserError(
            f"crf.channels={list(channels)}: the image has {count} channel{'s' if count > 1 else ''}, from 0 to "
            f"{count - 1}; for refine, channels=4 bits=16 say what files of other than RGB bytes hold."
        )
    if channels is not None or count > 3:
        image = np.ascontiguousarray(image[..., list(channels or range(3))])
    if kind != "rgb" and (image.shape[2] != 3 or image.dtype != np.uint8):
        raise UserError(f"crf.image={kind} is made of RGB bytes: type crf.image=rgb for other images.")
    return seen(image, kind) if image.dtype == np.uint8 else image.astype(np.float32) / np.float32(257)


def positions(height: int, width: int) -> Floats:
    """The positions (H * W, 2) of the pixels of an image: x, then y."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)


def appearance(crf: Parameters, image: Bytes | Floats, more: Floats | None, allocate: Allocate = new_array) -> Floats:
    """The features (H * W, 2 + channels) of the appearance kernel: positions, colours and further channels.

    Args:
        crf: the widths.
        image: the colours (H, W, K), K = 3 for RGB.
        more: further channels (H, W, K), in units of the kernel's deviation, or None.
        allocate: allocates the array.
    """
    height, width, count = image.shape
    channels, first = 0 if more is None else more.shape[2], 2 + count
    features: Floats = allocate("features", (height * width, first + channels), np.float32)
    features[:, :2] = positions(height, width) / np.asarray(crf.bilateral_xy_std, np.float32)
    features[:, 2:first] = image.reshape(-1, count) / np.asarray(crf.bilateral_rgb_std, np.float32)
    if more is not None:
        features[:, first:] = more.reshape(-1, channels)
    return features

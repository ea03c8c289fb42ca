"""Features of pixels, by whose distances the CRF's kernels weigh pairs of them (V2, equation 3)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from deeplab_lit.crf.parameters import Parameters
from deeplab_lit.kernels.buffers import Allocate, new_array
from deeplab_lit.utils.arrays import Bytes, Floats

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


def positions(height: int, width: int) -> Floats:
    """The positions (H * W, 2) of the pixels of an image: x, then y."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)


def appearance(crf: Parameters, image: Bytes, more: Floats | None, allocate: Allocate = new_array) -> Floats:
    """The features (H * W, 5 or more) of the appearance kernel: positions, colours and further channels.

    Args:
        crf: the widths.
        image: (H, W, 3).
        more: further channels (H, W, K), in units of the kernel's deviation, or None.
        allocate: allocates the array.
    """
    height, width = image.shape[:2]
    channels = 0 if more is None else more.shape[2]
    features: Floats = allocate("features", (height * width, 5 + channels), np.float32)
    features[:, :2] = positions(height, width) / np.asarray(crf.bilateral_xy_std, np.float32)
    features[:, 2:5] = image.reshape(-1, 3) / np.asarray(crf.bilateral_rgb_std, np.float32)
    if more is not None:
        features[:, 5:] = more.reshape(-1, channels)
    return features

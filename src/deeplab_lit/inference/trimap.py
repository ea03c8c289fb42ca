"""Trimap accuracy: scores in bands around the void pixels at boundaries (V1, section 5; V2, section 4.1.2)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.labels import VOID
from deeplab_lit.inference.metrics import Scores
from deeplab_lit.utils.arrays import Bytes


def boundary_distance(truth: Bytes) -> NDArray[np.float32]:
    """The chessboard distance of each pixel from the nearest void pixel, float32 (H, W).

    The band of width w, the pixels at distances up to w, is the void dilated by a square of side 2w + 1. In a mask
    without void it is the distance from the nearest pixel of another class, and infinity in a mask of one class.
    """
    void = truth == VOID
    if void.any():
        return cv2.distanceTransform((~void).astype(np.uint8), cv2.DIST_C, 3)
    around = np.ones((3, 3), np.uint8)
    edge = cv2.dilate(truth, around) != cv2.erode(truth, around)
    if not edge.any():
        return np.full(truth.shape, np.inf, np.float32)
    # a pixel with another class among its eight neighbours is at distance 1
    return cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_C, 3) + np.float32(1)


class Trimap:
    """Confusion matrices of the bands of width 1, 2, ..., ``widest`` pixels.

    Args:
        num_classes: the number of classes.
        widest: the width of the widest band.
    """

    def __init__(self, num_classes: int, widest: int) -> None:
        # a pixel is counted in the narrowest band that holds it
        self.rings = np.zeros((widest, num_classes, num_classes), np.int64)

    def count(self, prediction: Bytes, truth: Bytes, distance: NDArray[np.float32]) -> NDArray[np.int64]:
        """The counts of one image (widest, C, C), to be added to :attr:`rings`.

        Args:
            prediction, truth: class indices (H, W).
            distance: the :func:`boundary_distance` of ``truth``.
        """
        widest, classes, _ = self.rings.shape
        inside = (distance <= widest) & (truth != VOID)
        ring = np.ceil(distance[inside]).astype(np.int64) - 1
        cell = (ring * classes + truth[inside]) * classes + prediction[inside]
        return np.bincount(cell, minlength=self.rings.size).reshape(self.rings.shape)

    def curve(self) -> list[dict[str, float]]:
        """The mIoU and the pixel accuracy of each band; NaN for a band without pixels."""
        scores = [Scores.of(matrix) if matrix.any() else None for matrix in self.rings.cumsum(0)]
        return [
            {
                "width": width,
                "miou": each.miou if each else float("nan"),
                "pixel_accuracy": each.pixel_accuracy if each else float("nan"),
            }
            for width, each in enumerate(scores, 1)
        ]

"""Metrics of VOC from one confusion matrix over all pixels of a split, without void."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Integer
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from deeplab_lit.data.labels import VOID
from deeplab_lit.kernels.loading import has_numba


class ConfusionMatrix(Metric):
    """Counts of pixels by true class (rows) and predicted class (columns), summed over images and processes.

    Args:
        num_classes: the number of rows and of columns.
    """

    full_state_update = False
    matrix: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Integer[Tensor, "*shape"], truth: Integer[Tensor, "*shape"]) -> None:
        """Count the pixels whose truth is not void.

        Raises:
            ValueError: a label is neither a class nor void.
        """
        if self.matrix.device.type == prediction.device.type == "cpu" and has_numba():
            self.matrix += torch.from_numpy(count_pairs(prediction.numpy(), truth.numpy(), self.num_classes))
            return
        counted = truth != VOID
        truth, prediction = truth[counted].long(), prediction[counted].long()
        _check_classes(_strange(truth, self.num_classes) | _strange(prediction, self.num_classes), self.num_classes)
        pairs = truth * self.num_classes + prediction
        self.matrix += torch.bincount(pairs, minlength=self.num_classes**2).view_as(self.matrix)

    def compute(self) -> Int[Tensor, "classes classes"]:
        """The matrix (C, C), from which :class:`Scores` are computed."""
        return self.matrix


@dataclass(frozen=True)
class Scores:
    """The scores of a confusion matrix.

    A class in neither truth nor prediction has the IoU NaN and does not count in the mean.
    """

    per_class_iou: NDArray[np.float64]
    miou: float
    pixel_accuracy: float
    mean_accuracy: float

    @classmethod
    def of(cls, matrix: Int[Tensor, "classes classes"] | NDArray[np.int64]) -> Scores:
        """The IoU of each class (C,), its mean over the classes, the pixel accuracy and the mean accuracy."""
        counts = (matrix.cpu().numpy() if isinstance(matrix, Tensor) else matrix).astype(np.float64)
        hits, truth, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou, recall = hits / (truth + predicted - hits), hits / truth
            pixel = hits.sum() / counts.sum()
        return cls(iou, _mean(iou), float(pixel), _mean(recall))


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def count_pairs(prediction: NDArray[Any], truth: NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    """The confusion matrix (C, C) of pixels: rows are true classes, columns predicted classes; void is left out.

    Raises:
        ValueError: a label is neither a class nor void.
    """
    if not has_numba():
        counted = truth != VOID
        truth, prediction = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
        _check_classes(_strange(truth, num_classes) | _strange(prediction, num_classes), num_classes)
        pairs = truth * num_classes + prediction
        return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    from deeplab_lit.kernels import label_maps as kernels

    counts = np.zeros((num_classes, num_classes), np.int64)
    _check_classes(kernels.count_pairs(prediction.ravel(), truth.ravel(), VOID, counts), num_classes)
    return counts


def _strange(labels: Any, num_classes: int) -> Any:
    return (labels < 0) | (labels >= num_classes)


def _check_classes(strange: Any, num_classes: int) -> None:
    """Raise ValueError if there are pixels, given as a mask or as their number, whose label is no class."""
    if count := int(strange.sum() if hasattr(strange, "sum") else strange):
        raise ValueError(f"{count} pixels have labels that are none of the {num_classes} classes, nor void ({VOID}).")

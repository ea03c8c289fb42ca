"""Threshold curve: the mIoU of masks of class activation maps over the threshold, in one pass over the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.background_scores import alpha_of
from deeplab_lit.data.labels import VOID
from deeplab_lit.inference.cams import CAMs
from deeplab_lit.inference.evaluation_charts import threshold_chart
from deeplab_lit.inference.metrics import Scores
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_json

_GRID = [each / 100 for each in range(5, 91)]
_ALPHAS = (1, 2, 4, 8, 24)
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Numbered combinations of what :class:`ThresholdCurve` counts, and the number of pixels of each."""


class ThresholdCurve:
    """The mIoU before the CRF at the thresholds 0.05, 0.06, ..., 0.90, and at some more.

    A pixel is of the class of its highest map at all thresholds below this map's activation, and background at the
    others. So its activation, this class and the true one are counted once, and each threshold's confusion matrix is a
    sum of the counts. The other methods of the background are thresholds too
    (:meth:`deeplab_lit.data.background_scores.BackgroundMethod.thresholds`).

    Args:
        classes: how many classes there are, with the background.
        more: further thresholds.
    """

    def __init__(self, classes: int, more: Sequence[float]) -> None:
        self._classes = classes
        self._thresholds = np.unique([*_GRID, *more])
        self._counts = np.zeros((len(self._thresholds) + 1) * classes**2, np.int64)
        self._images = 0

    def count(self, cams: CAMs, truth: Bytes) -> Counts:
        """Count the pixels of an image; the counts are for :meth:`add`.

        Args:
            cams: the maps at the size of the mask.
            truth: class indices (H, W), 255 for void.

        Raises:
            UserError: the mask has another size than the image, or a class that there is not.
        """
        if truth.shape != cams.highest.shape:
            height, width = cams.highest.shape
            raise UserError(
                f"it is {truth.shape[1]}x{truth.shape[0]}, its image {width}x{height}: give masks as large."
            )
        known = truth != VOID
        true = truth[known].astype(np.int64)
        if len(true) and true.max() >= self._classes:
            raise UserError(f"it has the class {true.max()}, and there are {self._classes} classes: give classes=FILE.")
        # in single precision, as the scores that a threshold is compared with
        level = np.searchsorted(self._thresholds.astype(np.float32), cams.highest[known], side="left")
        code = (level * self._classes + true) * self._classes + cams.classes[cams.strongest()[known]]
        codes, counts = np.unique(code, return_counts=True)
        return codes, counts

    def add(self, counts: Counts) -> None:
        """Add the counts of an image."""
        self._counts[counts[0]] += counts[1]
        self._images += 1

    def result(self, without_truth: float | None, chosen: Sequence[float]) -> dict[str, Any]:
        """The curve and its best point, in fractions of 1.

        Args:
            without_truth: the threshold of the rule, which is one of the curve's; None: it has found none.
            chosen: the thresholds of the masks that are written, which are too.
        """
        joint = self._counts.reshape(-1, self._classes, self._classes)
        points = []
        for place, threshold in enumerate(self._thresholds.tolist()):
            matrix = joint[place + 1 :].sum(0)
            matrix[:, 0] += joint[: place + 1].sum((0, 2))
            points.append({"threshold": threshold, "alpha": alpha_of(threshold), "miou": Scores.of(matrix).miou})
        best = max(points, key=lambda point: point["miou"])
        at = {point["threshold"]: {**point, "cost": best["miou"] - point["miou"]} for point in points}
        return {
            "images": self._images,
            "best": best,
            "without_truth": None if without_truth is None else at[without_truth],
            "chosen": [at[each] for each in chosen],
            "curve": points,
        }


def write_curve(result: dict[str, Any], folder: Path) -> None:
    """Write what :meth:`ThresholdCurve.result` gives as thresholds.json and thresholds.png."""
    marks = {"best by the true masks": result["best"], "by the rule, without them": result["without_truth"]}
    names = ("these masks", "their higher threshold")
    marks |= dict(zip(names, result["chosen"][::-1], strict=False))
    threshold_chart(
        result["curve"], {name: each for name, each in marks.items() if each}, _ALPHAS, folder / "thresholds.png"
    )
    write_json(folder / "thresholds.json", result)

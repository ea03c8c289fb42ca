"""Probabilities of hard labels, which are right with a stated certainty."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.labels import VOID
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError


def probabilities_of(labels: NDArray[np.integer[Any]], certainty: float, classes: int | None = None) -> Floats:
    """Probabilities, float32 (C, H, W), of labels (H, W).

    A pixel's class has the probability ``certainty``. The other classes that occur in the image share the rest. Classes
    that do not occur have 0. At void (255) pixels all classes that occur are equally probable.

    Args:
        labels: class indices, whole numbers.
        certainty: between 0 and 1.
        classes: C; None: one more than the highest label.

    Raises:
        UserError: a label is not below C, or all pixels are void.
    """
    present = np.setdiff1d(labels, VOID)
    if not len(present):
        raise UserError("the CRF's labels are all void (255): give at least one class.")
    classes = int(present[-1]) + 1 if classes is None else classes
    if not 0 <= present[0] <= present[-1] < classes:
        raise UserError(
            f"the CRF's labels run from {present[0]} to {present[-1]}: with {classes} classes, 0 to {classes - 1}."
        )
    found = np.zeros((classes, *labels.shape), np.float32)
    if len(present) == 1:
        found[present[0]] = 1
        return found
    found[present] = (1 - certainty) / (len(present) - 1)
    void = labels == VOID
    np.put_along_axis(found, np.where(void, present[0], labels)[None].astype(np.intp), certainty, 0)
    found[present[:, None], void] = 1 / len(present)
    return found

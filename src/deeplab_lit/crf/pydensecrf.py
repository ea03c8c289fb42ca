"""The engine ``pydensecrf``: the package pydensecrf2, the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeplab_lit.crf.features import appearance
from deeplab_lit.crf.parameters import Parameters
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.errors import UserError

_LEAST = 1e-5  # lower bound of probabilities


def package() -> Any:
    """The module ``pydensecrf.densecrf``.

    Raises:
        UserError: it is not installed.
    """
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise UserError(
            f"crf.engine=pydensecrf needs pydensecrf2, which is not here ({error}): pip install pydensecrf2 (on Python "
            "3.11 or 3.12), or take crf.engine=permutohedral."
        ) from error
    return densecrf


def refine(crf: Parameters, image: Bytes | Floats, probabilities: Floats, more: Floats | None) -> Floats:
    """The marginals (C, H, W). It raises what :func:`package` raises."""
    densecrf = package()
    how = {
        "symmetric": densecrf.NORMALIZE_SYMMETRIC,
        "before": densecrf.NORMALIZE_BEFORE,
        "after": densecrf.NORMALIZE_AFTER,
        "none": densecrf.NO_NORMALIZATION,
    }[crf.normalization]
    classes, height, width = probabilities.shape
    field = densecrf.DenseCRF2D(width, height, classes)
    unary = -np.log(np.maximum(probabilities, np.float32(_LEAST))).reshape(classes, -1)
    field.setUnaryEnergy(np.ascontiguousarray(unary))
    field.addPairwiseGaussian(sxy=crf.gaussian_xy_std, compat=crf.gaussian_weight, normalization=how)
    features = np.ascontiguousarray(appearance(crf, image, more).T)
    field.addPairwiseEnergy(features, compat=crf.bilateral_weight, normalization=how)
    return np.asarray(field.inference(crf.iterations), np.float32).reshape(classes, height, width)

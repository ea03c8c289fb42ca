"""Masks of class activation maps: the class of each pixel, or void where it is not certain."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.data.labels import VOID
from deeplab_lit.inference.cams import CAMs
from deeplab_lit.utils.arrays import Bytes, Floats


def mask_of(image: Bytes, scores: Floats, classes: Bytes, crf: DenseCRF | None, uncertain: float | None) -> Bytes:
    """The class of the highest score at each pixel, uint8 (H, W).

    Args:
        image: RGB bytes (H, W, 3).
        scores: of the background and of the other classes, float32 (C, H, W), none of them negative. Divided by their
            sum they are the probabilities that the CRF takes.
        classes: the class index of each score, uint8 (C,).
        crf: refines the probabilities; None: nothing does.
        uncertain: pixels whose highest probability is below it become void; None: none do.
    """
    if crf is not None and uncertain is None and len(classes) > 1:  # the probabilities themselves take longer
        mask: Bytes = classes[crf.labels(image, _normalised(scores))]
        return mask
    return mask_and_confidence(image, scores, classes, crf, uncertain)[0]


def mask_and_confidence(
    image: Bytes, scores: Floats, classes: Bytes, crf: DenseCRF | None, uncertain: float | None
) -> tuple[Bytes, Floats]:
    """The mask of :func:`mask_of`, and the highest probability of each pixel, float32 (H, W)."""
    if len(classes) == 1:
        return np.full(image.shape[:2], classes[0], np.uint8), np.ones(image.shape[:2], np.float32)
    probabilities = _normalised(scores)
    refined = probabilities if crf is None else crf(image, probabilities)
    mask, confidence = classes[refined.argmax(0)], refined.max(0)
    if uncertain is not None:
        mask[confidence < uncertain] = VOID
    return mask, confidence


def mask_between(
    image: Bytes,
    cams: CAMs,
    foreground_threshold: float,
    background_threshold: float,
    crf: DenseCRF | None,
) -> Bytes:
    """The mask of two thresholds, uint8 (H, W), as IRN makes it.

    Each threshold gives a mask, which the CRF refines. A pixel is of a class where the mask of the higher threshold
    has one, background where neither mask has one, and void elsewhere.

    Args:
        image: RGB bytes (H, W, 3).
        cams: the maps at the size of the image.
        foreground_threshold: the higher one.
        background_threshold: the lower one.
        crf: of hard labels, which are right with its ``certainty``; the background and all classes that have a map
            share the rest, whether or not they have a pixel. None: the masks are not refined.
    """

    def refined(places: NDArray[np.intp]) -> Bytes:
        if crf is None or crf.certainty is None or len(cams.classes) == 1:
            return cams.classes[places]
        rest = (1 - crf.certainty) / (len(cams.classes) - 1)
        probabilities = np.full((len(cams.classes), *places.shape), rest, np.float32)
        np.put_along_axis(probabilities, places[None], crf.certainty, 0)
        # by itself a CRF of hard labels leaves out the classes without a pixel
        takes_probabilities = copy(crf)
        takes_probabilities.certainty = None
        return cams.classes[takes_probabilities.labels(image, probabilities)]

    sure = refined(cams.above(foreground_threshold))
    possible = refined(cams.above(background_threshold))
    return np.where((sure == 0) & (possible != 0), np.uint8(VOID), sure)


def _normalised(scores: Floats) -> Floats:
    total = scores.sum(0)
    found = np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)
    found[0, total <= 0] = 1
    return found

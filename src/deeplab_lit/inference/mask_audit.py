"""Mask audit: what is counted in pseudo-labels, by themselves and against image tags, the CRF and true masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.mask_files import INDICES, MaskCoding, read_mask
from deeplab_lit.inference.metrics import Scores, count_pairs
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ImageAudit:
    """What is said of one mask; None where it is not known.

    Attributes:
        id: the name of the image.
        void: the share of its pixels that are void.
        missing, additional: the image's tags without a pixel, and the classes with pixels that are no tags.
        crf_changes: the share of its pixels with a class that the CRF gives another class.
        iou: the mean IoU over the classes of the mask and the true mask; void pixels of the mask are wrong.
    """

    id: str
    void: float
    missing: tuple[int, ...] | None
    additional: tuple[int, ...] | None
    crf_changes: float | None
    iou: float | None


@dataclass(frozen=True)
class Views:
    """The masks of an image; None where there is none.

    Attributes:
        image: RGB bytes (H, W, 3).
        mask, refined, truth: class indices (H, W) of the pseudo-label, of the CRF on it, and of the true mask.
    """

    image: Bytes
    mask: Bytes
    refined: Bytes | None
    truth: Bytes | None


@dataclass(frozen=True)
class Sources:
    """Where the masks of an audit are, and what they are compared with.

    Attributes:
        masks, images: files by the names of the images.
        truth: true masks of some or all of them.
        tags: the classes of each image; None: unknown.
        crf: of hard labels; None: it is not asked.
        classes: how many classes there are, with the background.
        coding: how the pixels of masks stand for classes.
    """

    masks: Mapping[str, Path]
    images: Mapping[str, Path]
    truth: Mapping[str, Path]
    tags: Mapping[str, frozenset[int]] | None
    crf: DenseCRF | None
    classes: int
    coding: MaskCoding = INDICES

    def views(self, name: str) -> Views:
        """The masks of an image.

        Raises:
            UserError: a file cannot be read, the sizes differ, or a mask has a class that there is not.
        """
        mask = read_mask(self.masks[name], self.coding)
        image = read_image(self.images[name], (mask.shape[0], mask.shape[1]))
        truth = read_mask(self.truth[name], self.coding) if name in self.truth else None
        if image.shape[:2] != mask.shape:
            raise UserError(
                f"{self.masks[name]} is {mask.shape[1]}x{mask.shape[0]}, its image {image.shape[1]}x{image.shape[0]}: "
                "masks are as large as their images."
            )
        if truth is not None and truth.shape != mask.shape:
            raise UserError(
                f"{self.truth[name]} is {truth.shape[1]}x{truth.shape[0]}, the mask {mask.shape[1]}x{mask.shape[0]}: "
                "true masks are as large as the masks."
            )
        for path, each in ((self.masks[name], mask), (self.truth.get(name), truth)):
            highest = -1 if each is None else int(each.max(where=each != VOID, initial=0))
            if highest >= self.classes:
                raise UserError(
                    f"{path} has the class {highest}, and there are {self.classes} classes: give classes=FILE."
                )
        asks = self.crf is not None and bool((mask != VOID).any())
        refined = self.crf.labels(image, mask).astype(np.uint8) if self.crf is not None and asks else None
        return Views(image, mask, refined, truth)

    def look(self, name: str) -> tuple[ImageAudit, Counts, Counts]:
        """What is said of a mask, its pixels of each class (C,), and its confusion matrix, as :class:`Totals` has it.

        Raises:
            UserError: as :meth:`views`.
        """
        views = self.views(name)
        mask, labelled = views.mask, views.mask != VOID
        pixels = np.bincount(mask.ravel(), minlength=256)[: self.classes]
        there = {*np.flatnonzero(pixels).tolist()} - {0}
        tags = None if self.tags is None else self.tags[name]
        changes = None if views.refined is None else float((views.refined != mask)[labelled].mean())
        matrix = np.zeros((self.classes, self.classes + 1), np.int64)
        iou = None
        if views.truth is not None:
            # void becomes one more class, which no true mask has
            predicted = np.where(labelled, mask, self.classes).astype(np.uint8)
            matrix += _pairs(predicted, views.truth, self.classes)
            iou = _miou(matrix)
        audit = ImageAudit(
            name,
            float(1 - labelled.mean()),
            None if tags is None else tuple(sorted(tags - there)),
            None if tags is None else tuple(sorted(there - tags)),
            changes,
            iou,
        )
        return audit, pixels, matrix


class Totals:
    """Sums over all images of an audit.

    Attributes:
        images: what is said of each.
        pixels: pixels of each class (C,).
        matrix: pixels by true class (C rows) and class of the mask, void last (C + 1 columns).
    """

    def __init__(self, classes: int) -> None:
        self.images: list[ImageAudit] = []
        self.pixels = np.zeros(classes, np.int64)
        self.appears = np.zeros(classes, np.int64)
        self.matrix = np.zeros((classes, classes + 1), np.int64)

    def add(self, audit: ImageAudit, pixels: Counts, matrix: Counts) -> None:
        """Add what :meth:`Sources.look` found."""
        self.images.append(audit)
        self.pixels += pixels
        self.appears += pixels > 0
        self.matrix += matrix

    def worst(self, count: int) -> list[ImageAudit]:
        """The worst images, the worst first, without those that have no fault.

        They are those of the lowest IoU. Where no true mask is known, they are those with the most wrong tags, and
        among equals those of which the CRF changes most.
        """
        scored = [image for image in self.images if image.iou is not None]

        def badness(image: ImageAudit) -> tuple[float, float]:
            if image.iou is not None:
                return 1 - image.iou, 0
            return len(image.missing or ()) + len(image.additional or ()), image.crf_changes or 0

        found = sorted(scored or self.images, key=badness, reverse=True)
        return [image for image in found if any(badness(image))][:count]

    def result(self, labels: LabelSet) -> dict[str, Any]:
        """The content of audit.json; shares and scores are fractions of 1, None where they are not known."""
        scored = bool(self.matrix.any())
        return {
            "images": len(self.images),
            "with_truth": sum(image.iou is not None for image in self.images),
            "void": _mean([image.void for image in self.images]),
            "crf_changes": _mean([image.crf_changes for image in self.images]),
            "miou": _miou(self.matrix),
            "miou_of_labelled": _miou_of_labelled(self.matrix),
            "classes": {name: self._of_class(number, scored) for number, name in enumerate(labels.names)},
            "per_image": [
                {
                    "id": image.id,
                    "void": image.void,
                    "crf_changes": image.crf_changes,
                    "iou": image.iou,
                    "missing": _names(image.missing, labels),
                    "additional": _names(image.additional, labels),
                }
                for image in self.images
            ],
        }

    def _of_class(self, number: int, scored: bool) -> dict[str, Any]:
        hits, truth = self.matrix[number, number], self.matrix[number].sum()
        predicted = self.matrix[:, number].sum()
        tagged = any(image.missing is not None for image in self.images)
        return {
            "pixels": _ratio(self.pixels[number], self.pixels.sum()),
            "images": int(self.appears[number]),
            "precision": _ratio(hits, predicted) if scored else None,
            "recall": _ratio(hits, truth) if scored else None,
            "iou": _ratio(hits, truth + predicted - hits) if scored else None,
            "missing": sum(number in (image.missing or ()) for image in self.images) if tagged else None,
            "additional": sum(number in (image.additional or ()) for image in self.images) if tagged else None,
        }


def _pairs(predicted: Bytes, truth: Bytes, classes: int) -> Counts:
    matrix: Counts = count_pairs(predicted, truth, classes + 1)[:classes]
    return matrix


def _miou(matrix: Counts) -> float | None:
    """The mean IoU of a matrix (C, C + 1), in which void pixels of masks are wrong; None: no class occurs."""
    hits, union = np.diag(matrix), matrix.sum(1) + matrix[:, :-1].sum(0)
    union = union - hits
    return _mean([float(hit / whole) for hit, whole in zip(hits, union, strict=True) if whole])


def _miou_of_labelled(matrix: Counts) -> float | None:
    value = Scores.of(matrix[:, :-1]).miou
    return None if value != value else value


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _names(classes: tuple[int, ...] | None, labels: LabelSet) -> list[str] | None:
    return None if classes is None else [labels.names[each] for each in classes]

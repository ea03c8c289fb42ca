"""Scores of a network on a split, before and after the CRF, in one pass; the CRF runs beside the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.split import Example, Split
from deeplab_lit.inference.metrics import Scores, count_pairs
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.inference.trimap import Trimap, boundary_distance
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import Progress
from deeplab_lit.utils.shards import interleaved

Counts = NDArray[np.int64]

Found = list[Bytes] | NDArray[np.float32]
"""The result for an image: labels (H, W) before the CRF and, if there is one, after it; or the network's probabilities
(C, H, W), which the CRF has still to refine."""


@dataclass(frozen=True)
class ImageResult:
    """The result for one image; each tuple has an entry before the CRF and, if there is a CRF, one after it.

    Attributes:
        example: the image with its truth.
        labels: predicted class indices (H, W).
        accuracies: the share of labelled pixels that are correct; NaN without labelled pixels.
    """

    example: Example
    labels: tuple[Bytes, ...]
    accuracies: tuple[float, ...]

    @property
    def gain(self) -> float:
        """The accuracy after the CRF minus that before it."""
        return self.accuracies[1] - self.accuracies[0]


@dataclass
class Evaluation:
    """The scores of a split.

    Attributes:
        matrices: confusion matrices (C, C) over all images, before the CRF and, if there is one, after it.
        trimaps: trimaps over all images, before the CRF and, if there is one, after it.
        images: the id and the accuracies of each image.
        helped, hurt: the images whose accuracy the CRF raised most and lowered most, the largest change first, the
            earlier image first where changes are equal.
    """

    matrices: list[Counts]
    trimaps: list[Trimap]
    images: list[tuple[str, tuple[float, ...]]]
    helped: list[ImageResult]
    hurt: list[ImageResult]

    @classmethod
    def empty(cls, stages: int, num_classes: int, widest: int) -> Evaluation:
        """An evaluation of no images.

        Args:
            stages: 1 without a CRF, 2 with one.
            num_classes: the number of classes.
            widest: width in pixels of the widest band of the trimap.
        """
        matrices = [np.zeros((num_classes, num_classes), np.int64) for _ in range(stages)]
        return cls(matrices, [Trimap(num_classes, widest) for _ in range(stages)], [], [], [])

    @classmethod
    def merged(cls, parts: Sequence[Evaluation], keep: int) -> Evaluation:
        """The evaluation of a whole list of images, equal to that in one piece.

        Args:
            parts: the evaluations of its shards, from the first to the last
                (:class:`deeplab_lit.utils.shards.Shard`).
            keep: how many images to keep of those that the CRF helped most, and of those that it hurt most; each part
                has kept as many.
        """
        widest, num_classes, _ = parts[0].trimaps[0].rings.shape
        total = cls.empty(len(parts[0].matrices), num_classes, widest)
        for part in parts:
            for stage, matrix in enumerate(part.matrices):
                total.matrices[stage] += matrix
                total.trimaps[stage].rings += part.trimaps[stage].rings
        total.images = interleaved([part.images for part in parts])
        place = {id: number for number, (id, _) in enumerate(total.images)}
        helped = [each for part in parts for each in part.helped]
        hurt = [each for part in parts for each in part.hurt]
        total.helped = sorted(helped, key=lambda each: (-each.gain, place[each.example.id]))[:keep]
        total.hurt = sorted(hurt, key=lambda each: (each.gain, place[each.example.id]))[:keep]
        return total

    @property
    def scores(self) -> list[Scores]:
        """The scores before the CRF and, if there is one, after it."""
        return [Scores.of(matrix) for matrix in self.matrices]


def score_split(
    predictor: Predictor,
    split: Split,
    indices: Sequence[int],
    num_classes: int,
    crf: DenseCRF | None,
    widest: int,
    keep: int,
    threads: int,
    progress: Progress,
) -> Evaluation:
    """Score a network on a split.

    Args:
        predictor: the network.
        split: the examples.
        indices: the indices of the examples to score.
        num_classes: the number of classes of the split.
        crf: the CRF, with ``threads=1``, since several images are refined at once; None: the network alone.
        widest: width in pixels of the widest band of the trimap.
        keep: how many images to keep of those that the CRF helped most, and of those that it hurt most.
        threads: the number of threads for reading, and for the CRF and the counts.
        progress: told how many images are done.

    Raises:
        UserError: an example cannot be read.
    """
    total = Evaluation.empty(1 if crf is None else 2, num_classes, widest)
    finish = _finisher(crf, total.trimaps)

    def look(image: Bytes) -> Found:
        if crf is None:
            return [predictor.labels(image)]
        if predictor.refined_whole(image):
            return predictor.probabilities(image)
        return [predictor.labels(image), predictor.labels_in_windows(image, crf)]

    def forward() -> Iterator[tuple[Example, Found]]:
        for example in ahead(split.__getitem__, indices, threads):
            yield example, look(example.image)

    progress("evaluating", 0, len(indices))
    for done, (result, counts, rings) in enumerate(ahead(finish, forward(), threads), 1):
        for stage, matrix in enumerate(counts):
            total.matrices[stage] += matrix
            total.trimaps[stage].rings += rings[stage]
        total.images.append((result.example.id, result.accuracies))
        if crf is not None:
            _keep(total, result, keep)
        progress("evaluating", done, len(indices))
    return total


Finished = tuple[ImageResult, list[Counts], list[Counts]]
"""The result for an image, and before and after the CRF its confusion matrix (C, C) and its counts in the bands."""


def _finisher(crf: DenseCRF | None, trimaps: Sequence[Trimap]) -> Callable[[tuple[Example, Found]], Finished]:
    def finish(item: tuple[Example, Found]) -> Finished:
        example, found = item
        if isinstance(found, list):
            labels = found
        else:
            assert crf is not None
            labels = [found.argmax(0).astype(np.uint8), crf.labels(example.image, found)]
        distance = boundary_distance(example.mask)
        classes = trimaps[0].rings.shape[1]
        counts = [count_pairs(each, example.mask, classes) for each in labels]
        rings = [trimap.count(each, example.mask, distance) for each, trimap in zip(labels, trimaps, strict=True)]
        accuracies = [float(np.trace(each) / each.sum()) if each.any() else float("nan") for each in counts]
        return ImageResult(example, tuple(labels), tuple(accuracies)), counts, rings

    return finish


def _keep(total: Evaluation, result: ImageResult, count: int) -> None:
    if result.gain > 0:
        total.helped = sorted([*total.helped, result], key=lambda each: -each.gain)[:count]
    elif result.gain < 0:
        total.hurt = sorted([*total.hurt, result], key=lambda each: each.gain)[:count]


def numbers(scores: Scores, labels: LabelSet) -> dict[str, Any]:
    """The scores in the form that result files hold."""
    return {
        "miou": scores.miou,
        "per_class_iou": dict(zip(labels.names, scores.per_class_iou.tolist(), strict=True)),
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
    }

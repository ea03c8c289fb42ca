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

Counts = NDArray[np.int64]


Found = NDArray[Any]
"""What the network says of an image: labels (H, W), or probabilities (C, H, W) where there is a CRF."""


@dataclass(frozen=True)
class ImageResult:
    """What one image adds.

    Attributes:
        example: the image with its truth.
        labels: before the CRF, and after it (H, W).
        counts: confusion matrices, before and after (C, C).
        rings: of the trimap, before and after.
    """

    example: Example
    labels: tuple[Bytes, ...]
    counts: tuple[Counts, ...]
    rings: tuple[Counts, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The share of labelled pixels that are right, before and after; NaN where none is labelled."""
        return tuple(float(np.trace(each) / each.sum()) if each.any() else float("nan") for each in self.counts)


@dataclass
class Evaluation:
    """The scores of a split.

    Attributes:
        matrices: confusion matrices over all images, before the CRF and, if there is one, after it.
        trimaps: the bands around boundaries, likewise.
        images: each image's id and accuracies.
        helped, hurt: the images whose accuracy the CRF raised and lowered most, most first.
    """

    matrices: list[Counts]
    trimaps: list[Trimap]
    images: list[tuple[str, tuple[float, ...]]]
    helped: list[ImageResult]
    hurt: list[ImageResult]

    @property
    def scores(self) -> list[Scores]:
        """Before, and after."""
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
        indices: which of them.
        num_classes: of the split.
        crf: with ``threads=1``, since several images are refined at once; None for the network alone.
        widest: trimap band, pixels.
        keep: how many images to keep of those that the CRF helped most and hurt most.
        threads: for reading, and for the CRF and the counts.
        progress: told how many images are done.

    Raises:
        UserError: an example cannot be read.
    """
    stages = 1 if crf is None else 2
    total = Evaluation(
        [np.zeros((num_classes, num_classes), np.int64) for _ in range(stages)],
        [Trimap(num_classes, widest) for _ in range(stages)],
        [],
        [],
        [],
    )
    finish = _finisher(crf, total.trimaps)

    # the CRF alone needs more than labels
    look = predictor.labels if crf is None else predictor.probabilities

    def forward() -> Iterator[tuple[Example, Found]]:
        for example in ahead(split.__getitem__, indices, threads):
            yield example, look(example.image)

    progress("evaluating", 0, len(indices))
    for done, result in enumerate(ahead(finish, forward(), threads), 1):
        for stage in range(stages):
            total.matrices[stage] += result.counts[stage]
            total.trimaps[stage].rings += result.rings[stage]
        total.images.append((result.example.id, result.accuracies))
        if crf is not None:
            _keep(total, result, keep)
        progress("evaluating", done, len(indices))
    return total


def _finisher(crf: DenseCRF | None, trimaps: Sequence[Trimap]) -> Callable[[tuple[Example, Found]], ImageResult]:
    def finish(item: tuple[Example, Found]) -> ImageResult:
        example, found = item
        labels = [found.astype(np.uint8) if crf is None else found.argmax(0).astype(np.uint8)]
        if crf is not None:
            labels.append(crf.labels(example.image, found))
        distance = boundary_distance(example.mask)
        classes = trimaps[0].rings.shape[1]
        return ImageResult(
            example,
            tuple(labels),
            tuple(count_pairs(each, example.mask, classes) for each in labels),
            tuple(trimap.count(each, example.mask, distance) for each, trimap in zip(labels, trimaps, strict=True)),
        )

    return finish


def _keep(total: Evaluation, result: ImageResult, count: int) -> None:
    before, after = result.accuracies
    if np.isnan(before):
        return

    def gain(each: ImageResult) -> float:
        return each.accuracies[1] - each.accuracies[0]

    if after > before:
        total.helped = sorted([*total.helped, result], key=gain, reverse=True)[:count]
    elif after < before:
        total.hurt = sorted([*total.hurt, result], key=gain)[:count]


def numbers(scores: Scores, labels: LabelSet) -> dict[str, Any]:
    """The scores as result files hold them."""
    return {
        "miou": scores.miou,
        "per_class_iou": dict(zip(labels.names, scores.per_class_iou.tolist(), strict=True)),
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
    }

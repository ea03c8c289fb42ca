"""Drawn masks: masks of annotated regions, drawn once into the cache folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deeplab_lit.data.annotation_files import Annotated
from deeplab_lit.data.coco_masks import check_size
from deeplab_lit.data.image_files import image_sizes, read_image, write_mask
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.mask_conversion import one_converter
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError, brief, closest, one_a_line
from deeplab_lit.utils.files import replacing
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress


@dataclass(frozen=True)
class Drawing:
    """How annotations become masks.

    Attributes:
        read: reads the annotation of an image from its source, a file or a part of one.
        values: the mask value of each label.
        outside: the mask value of pixels outside all regions; None: there have to be none.
        labels: the classes, whose colours become the masks' palette.
    """

    read: Callable[[Any], Annotated]
    values: Mapping[str, int]
    outside: int | None
    labels: LabelSet


@dataclass(frozen=True)
class Job:
    """A mask to draw: its file, the image that it belongs to, and what the annotation is read from."""

    mask: Path
    image: Path
    source: Any


def draw_missing(drawing: Drawing, jobs: Sequence[Job], folder: Path, progress: Progress | None = None) -> None:
    """Draw the masks that do not exist, on all cores. Masks that can be drawn are, whatever the others lack.

    Args:
        drawing: how annotations become masks.
        jobs: the masks.
        folder: the folder that they lie in, itself or folders below it. One process draws at a time.
        progress: told how many masks are drawn.

    Raises:
        UserError: the folder cannot be made, annotations are malformed or do not fit their images, or labels have no
            value. The message has a line for each annotation, and one for the labels.
    """
    if all(map(_is_drawn, jobs)):  # nothing is written, so the folder may be one that cannot be
        return
    with one_converter(folder, "masks"):
        left = [job for job in jobs if not _is_drawn(job)]
        work = partial(_draw_one, drawing)
        found = list(spread(work, left, f"drawing masks once into {folder}", progress))
    problems = [each for each in found if isinstance(each, str)]
    unknown = {str(job.image): labels for job, labels in zip(left, found, strict=True) if isinstance(labels, dict)}
    if any(unknown.values()):
        problems.insert(0, _no_classes(unknown, drawing))
    if problems:
        raise UserError(one_a_line(problems))


def _is_drawn(job: Job) -> bool:
    return job.mask.is_file() and job.mask.stat().st_size > 0


def _no_classes(labels: Mapping[str, Mapping[str, int]], drawing: Drawing) -> str:
    """What is wrong with labels without a value, of which each image has numbers of regions."""
    total: Counter[str] = Counter()
    for each in labels.values():
        total.update(each)
    label, count = total.most_common(1)[0]
    shown = brief(label)[1:-1]
    first = next(image for image, each in labels.items() if label in each)
    rest = f" ({len(total) - 1} other label(s) too)" if len(total) > 1 else ""
    return (
        f"{count} region(s) have the label {brief(label)}, the first on {first}, which data.classes does not name{rest}"
        f": add the line `{shown}`, or `255 {shown}` for void, or rename it there.{closest(label, drawing.values)}"
    )


def _draw_one(drawing: Drawing, job: Job) -> dict[str, int] | str:
    """Write the mask of one image, or return what keeps it from that.

    Returns:
        The number of regions with each label that has no value; empty if the mask was written. A text: what is wrong.
    """
    try:
        annotated = drawing.read(job.source)
        unknown = Counter(each.label for each in annotated.regions if each.label not in drawing.values)
        if unknown:
            return dict(unknown)
        mask = drawn(annotated, _size(annotated, job.image), drawing.values, drawing.outside)
    except UserError as error:
        return str(error)
    with replacing(job.mask, sync=False) as temporary:
        write_mask(mask, drawing.labels.colours, temporary)
    return {}


def drawn(annotated: Annotated, size: tuple[int, int], values: Mapping[str, int], outside: int | None) -> Bytes:
    """The mask (height, width) of an annotation: its regions in their order, each above those before it.

    Raises:
        UserError: a region is malformed, or ``outside`` is None and there are pixels outside all regions.
    """
    height, width = size
    check_size(height, width, annotated.where)
    mask = np.full(size, VOID if outside is None else outside, np.uint8)
    is_free = np.ones(size, bool)
    for each in annotated.regions:
        covered = each.region.pixels(height, width, each.where)
        mask[covered] = values[each.label]
        is_free[covered] = False
    if outside is None and is_free.any():
        raise UserError(
            f"{annotated.where} has {is_free.sum()} pixel(s) outside all regions, and data.classes names no class for "
            "them: add the line `background` to it, or `255 void` if nothing is to be learned from them."
        )
    return mask


def _size(annotated: Annotated, image: Path) -> tuple[int, int]:
    """Height and width of the mask, after a check that the image has them as it is or turned by its EXIF tag."""
    if annotated.size is None:
        height, width, _ = read_image(image).shape
        return height, width
    sizes = image_sizes(image)
    if sizes and annotated.size not in sizes:
        (height, width), (there_high, there_wide) = annotated.size, sizes[0]
        raise UserError(
            f"{annotated.where} is of an image of {width}x{height} pixels, but {image} has {there_wide}x{there_high}: "
            "annotate this image, or give the one that was annotated."
        )
    return annotated.size

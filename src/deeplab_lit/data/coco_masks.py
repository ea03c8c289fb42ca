"""COCO masks: the polygons and run-length codes of COCO's annotations, drawn as one class mask.

pycocotools does the drawing. Its C code does not check its input, so every annotation is checked here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_LONGEST = 65535  # pixels a side: JPEG's limit; the time to write a PNG grows with its rows
_FARTHEST = 100_000  # pixels; the time and memory of drawing grow with the length of an edge


def draw(
    objects: list[tuple[int, Any]], height: int, width: int, where: str = "the annotations", clip: bool = False
) -> Bytes:
    """The mask (H, W) of an image: crowd regions first, then the objects from the largest to the smallest.

    Args:
        objects: (class index or :data:`VOID`, annotation) of each object. An annotation has ``id``, ``segmentation``
            and, for a crowd region, ``iscrowd``.
        height, width: size of the image in pixels.
        where: the annotation file, for messages.
        clip: cut polygons at the border of the image; otherwise a polygon may leave the image by one pixel at most.

    Raises:
        UserError: a segmentation is malformed or leaves the image, or the size of the image is out of range.
    """
    from pycocotools import mask as coco_mask

    check_size(height, width, where)
    drawn: list[tuple[bool, int, int, int, Any]] = []
    for number, annotation in objects:
        code = _code(annotation, height, width, f"{where}: annotation {annotation.get('id')}", clip)
        # False sorts first: crowd regions come before all objects, whatever their size
        drawn.append((not annotation.get("iscrowd"), -int(coco_mask.area(code)), len(drawn), number, code))
    result = np.zeros((height, width), np.uint8)
    for *_, number, code in sorted(drawn, key=lambda each: each[:3]):
        result[coco_mask.decode(code).astype(bool)] = number
    return result


def check_size(height: int, width: int, where: str) -> None:
    """Raise UserError if the size of an image is out of range, so that no mask of it is drawn."""
    most = 2 * (Image.MAX_IMAGE_PIXELS or 1 << 27)  # Pillow's limit for images that are read
    if min(height, width) < 1 or max(height, width) > _LONGEST or height * width > most:
        raise UserError(
            f"{where}: an image of {width}x{height} pixels: it has at least 1 and at most {most}, and at most "
            f"{_LONGEST} a side."
        )


def _code(annotation: Mapping[str, Any], height: int, width: int, where: str, clip: bool) -> Any:
    from pycocotools import mask as coco_mask

    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        size, counts = shape.get("size"), shape.get("counts")
        if size != [height, width]:
            raise UserError(f"{where} is a run-length code of size {size}, its image {[height, width]}.")
        runs = _runs(counts) if isinstance(counts, str) else counts
        if not _fills(runs, height * width):
            raise UserError(f"{where} has a run-length code that does not fill its image of {width}x{height} pixels.")
        return coco_mask.frPyObjects({"size": size, "counts": runs}, height, width)
    if not isinstance(shape, list) or not shape:
        raise UserError(f"{where} has no segmentation (polygons or a run-length code).")
    return polygon_code(shape, height, width, where, clip)


def polygon_code(polygons: list[Any], height: int, width: int, where: str, clip: bool) -> Any:
    """pycocotools' run-length code of the pixels that polygons cover together.

    Pixel (column, row) is the square from (column, row) to (column + 1, row + 1). A polygon whose edges lie between
    pixels covers the pixels inside it. Where an edge crosses a pixel, pycocotools decides, which rounds coordinates to
    a fifth of a pixel.

    Args:
        polygons: the x and y of each polygon's corners in turn, at least three corners.
        height, width: size of the image in pixels.
        where: the polygons' name, for messages.
        clip: as in :func:`draw`.

    Raises:
        UserError: a polygon is malformed or leaves the image.
    """
    from pycocotools import mask as coco_mask

    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{where} has a polygon without three points: x and y in turn, at least six numbers.")
        if not all(type(each) in (int, float) and abs(each) < np.inf for each in polygon):
            raise UserError(f"{where} has a polygon with coordinates that are no numbers.")
        points = np.array([float(min(max(each, -1e9), 1e9)) for each in polygon]).reshape(-1, 2)
        beyond = max(float((points - [width, height]).max()), float(-points.min()))
        if beyond > (_FARTHEST if clip else 1):
            or_cut = f", or type data.clip=true to cut such polygons, up to {_FARTHEST} pixels, at the border"
            raise UserError(
                f"{where} has a polygon that leaves its image ({width}x{height}) by {beyond:.0f} pixels: mend it"
                f"{'' if clip else or_cut}."
            )
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _fills(runs: Any, pixels: int) -> bool:
    """Whether ``runs`` is a list of run lengths, 0 or more, that sum to ``pixels``."""
    return isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs) and sum(runs) == pixels


def _runs(text: str) -> list[int] | None:
    """The run lengths of COCO's compressed run-length code; None if ``text`` is no such code.

    A character minus 48 is six bits. The lower five belong to a number, whose lowest bits come first. The sixth is set
    if more characters of the number follow. The fifth bit of a number's last character is its sign. From the fourth on,
    a number is the difference from the run length two places before.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return runs if shift == 0 else None

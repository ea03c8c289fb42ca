"""The objects of an image, polygons and run-length codes as COCO's annotations hold them, drawn as a class mask.

pycocotools draws them, whose C code trusts what it is given; so everything is checked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from deeplab_lit.data.labels import VOID
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_LONGEST = 65535  # pixels a side, a JPEG's most; a PNG takes time by its rows too
_FARTHEST = 100_000  # pixels; the drawing takes time and memory by the length of an edge


def draw(
    objects: list[tuple[int, Any]], height: int, width: int, where: str = "the annotations", clip: bool = False
) -> Bytes:
    """The mask (H, W) of an image: crowds first, then objects from the largest to the smallest.

    Args:
        objects: (class index, or 255 for a crowd, and the annotation with ``id`` and ``segmentation``).
        height, width: of the image, in pixels.
        where: the file, for messages.
        clip: cut polygons at the border of the image; otherwise they may leave it by a pixel at most.

    Raises:
        UserError: a segmentation that is none, or does not lie in the image; no size of an image.
    """
    from pycocotools import mask as coco_mask

    most = 2 * (Image.MAX_IMAGE_PIXELS or 1 << 27)  # as of images that are read
    if min(height, width) < 1 or max(height, width) > _LONGEST or height * width > most:
        raise UserError(
            f"{where}: an image of {width}x{height} pixels: it has at least 1 and at most {most}, and at most "
            f"{_LONGEST} a side."
        )
    drawn: list[tuple[bool, int, int, int, Any]] = []
    for number, annotation in objects:
        code = _code(annotation, height, width, f"{where}: annotation {annotation.get('id')}", clip)
        # crowds before everything, whatever their size
        drawn.append((number != VOID, -int(coco_mask.area(code)), len(drawn), number, code))
    result = np.zeros((height, width), np.uint8)
    for *_, number, code in sorted(drawn, key=lambda each: each[:3]):
        result[coco_mask.decode(code).astype(bool)] = number
    return result


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
    for polygon in shape:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{where} has a polygon without three points: x and y in turn, at least six numbers.")
        if not all(type(each) in (int, float) and abs(each) < np.inf for each in polygon):
            raise UserError(f"{where} has a polygon with coordinates that are no numbers.")
        points = np.array([float(min(max(each, -1e9), 1e9)) for each in polygon]).reshape(-1, 2)
        beyond = max(float((points - [width, height]).max()), float(-points.min()))
        if beyond > (_FARTHEST if clip else 1):
            raise UserError(
                f"{where} has a polygon that leaves its image ({width}x{height}) by {beyond:.0f} pixels: mend it, or "
                f"type data.clip=true to cut such polygons, up to {_FARTHEST} pixels, at the border."
            )
    return coco_mask.merge(coco_mask.frPyObjects(shape, height, width))


def _fills(runs: Any, pixels: int) -> bool:
    """Whether these are lengths of runs that make up so many pixels."""
    return isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs) and sum(runs) == pixels


def _runs(text: str) -> list[int] | None:
    """The lengths in COCO's compressed run-length code; None if it is not one.

    Each character holds six bits above 48: five of the number, the lowest first, and whether more follow; the fifth of
    the last is the sign. From the fourth number on it is the difference to the last but one.
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

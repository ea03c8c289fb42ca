"""labelme's annotations: one JSON file for each image, with polygons, rectangles, circles and bitmaps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplab_lit.data.annotation_files import Annotated, Labelled, read_json, side, whose
from deeplab_lit.data.regions import Bitmap, Ellipse, Point, Polygon, Region, points
from deeplab_lit.utils.errors import UserError, brief

_WITHOUT_AREA = ("line", "linestrip", "point", "points")
_KINDS = ("polygon", "oriented_rectangle", "rectangle", "circle", "mask")


def read_labelme(path: Path) -> Annotated:
    """The annotation of the image of one of labelme's JSON files.

    A shape without a type is a polygon, as in files of early versions. Group ids, flags and the image in the file are
    not used. labelme's own converter draws the outline of a polygon too and covers up to half a pixel more around it.

    Raises:
        UserError: the file is not labelme's, or one of its shapes is malformed or has no area.
    """
    content = read_json(path)
    if not is_labelme(content):
        raise UserError(f"{path} is no JSON of labelme, which has a list 'shapes'; {whose(content)}.")
    regions = [_labelled(shape, f"{path}: shape {place}") for place, shape in enumerate(content["shapes"], 1)]
    sides = content.get("imageHeight"), content.get("imageWidth")
    size = None if None in sides else (side(sides[0], str(path)), side(sides[1], str(path)))
    return Annotated(str(path), size, regions)


def is_labelme(content: Any) -> bool:
    """Whether the content of a JSON file is labelme's."""
    shapes = content.get("shapes") if isinstance(content, dict) else None
    return isinstance(shapes, list) and all(isinstance(shape, dict) for shape in shapes)


def _labelled(shape: Mapping[str, Any], where: str) -> Labelled:
    label = shape.get("label")
    if not isinstance(label, str):
        raise UserError(f"{where} has no label.")
    where = f"{where} ({brief(label)})"
    kind = shape.get("shape_type") or "polygon"
    if kind in _WITHOUT_AREA:
        raise UserError(f"{where} is a {kind}, which covers no pixels: delete it, or draw a polygon instead.")
    if kind not in _KINDS:
        raise UserError(f"{where} is a {brief(kind)}: shapes that are drawn are {', '.join(_KINDS)}.")
    return Labelled(label, _region(kind, points(shape.get("points"), where), shape.get("mask"), where), where)


def _region(kind: str, corners: tuple[Point, ...], png: Any, where: str) -> Region:
    if kind == "rectangle" and len(corners) == 2:
        (left, top), (right, bottom) = corners
        return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))
    if kind in ("polygon", "oriented_rectangle", "rectangle"):
        return Polygon(corners)
    if len(corners) != 2:
        raise UserError(f"{where} is a {kind} of {len(corners)} point(s): it has 2.")
    if kind == "circle":
        centre, rim = corners
        radius = math.dist(centre, rim)
        return Ellipse(centre, (radius, radius))
    if not isinstance(png, str):
        raise UserError(f"{where} is a mask without its bitmap.")
    (left, top), (right, bottom) = corners
    # older versions cut the bitmap at its corners, which are whole numbers and belong to it
    is_whole = all(each % 1 == 0 for corner in corners for each in corner)
    most = (int(right - left) + 1, int(bottom - top) + 1) if is_whole else None
    return Bitmap(png, (round(left), round(top)), most)

"""Regions: the pixels that a polygon, an ellipse or a bitmap of an annotation covers.

Coordinates are in pixels from the top left corner of the image. Pixel (column, row) is the square from (column, row) to
(column + 1, row + 1).
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.data.coco_masks import polygon_code
from deeplab_lit.data.image_files import reason
from deeplab_lit.utils.errors import UserError, brief

Pixels = NDArray[np.bool_]
"""The pixels (H, W) of an image that a region covers."""

Point = tuple[float, float]


class Region(Protocol):
    """A part of an image that has one label."""

    def pixels(self, height: int, width: int, where: str) -> Pixels:
        """The pixels (height, width) that the region covers; ``where`` is its name, for messages.

        Raises:
            UserError: the region is malformed.
        """
        ...


@dataclass(frozen=True)
class Polygon:
    """A polygon, which covers the pixels that COCO's polygons cover; it is cut at the border of the image."""

    corners: tuple[Point, ...]

    def pixels(self, height: int, width: int, where: str) -> Pixels:
        from pycocotools import mask as coco_mask

        code = polygon_code([[each for corner in self.corners for each in corner]], height, width, where, clip=True)
        covered: Pixels = coco_mask.decode(code).astype(bool)
        return covered


@dataclass(frozen=True)
class Ellipse:
    """An ellipse, which covers the pixels whose centres lie inside it.

    Args:
        centre: (x, y).
        radii: its half axes along x and y before it is turned.
        angle: by how many degrees it is turned clockwise.
    """

    centre: Point
    radii: Point
    angle: float = 0.0

    def pixels(self, height: int, width: int, where: str) -> Pixels:
        if min(self.radii) <= 0:
            raise UserError(f"{where} has the radii {self.radii[0]:g} and {self.radii[1]:g}: they are more than 0.")
        x = np.arange(width)[None] + 0.5 - self.centre[0]
        y = np.arange(height)[:, None] + 0.5 - self.centre[1]
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        with np.errstate(over="ignore"):
            along, across = (x * cosine + y * sine) / self.radii[0], (y * cosine - x * sine) / self.radii[1]
            inside: Pixels = along**2 + across**2 <= 1
        return inside


@dataclass(frozen=True)
class Bitmap:
    """A bitmap as base64 text of a PNG; it is cut at the border of the image.

    Args:
        png: the text. A pixel is covered if it is not 0 or, where the PNG has transparency, if it is not transparent.
        corner: column and row of its first pixel.
        most: the columns and rows of the bitmap that count, from its first on; None: all.
        is_whole: whether it has the size of the image.
    """

    png: str
    corner: tuple[int, int] = (0, 0)
    most: tuple[int, int] | None = None
    is_whole: bool = False

    def pixels(self, height: int, width: int, where: str) -> Pixels:
        found = _of_png(self.png, height, width, where, self.is_whole)
        if self.most is not None:
            found = found[: max(0, self.most[1]), : max(0, self.most[0])]
        left, top = self.corner
        found = found[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
        covered = np.zeros((height, width), bool)
        top, left = max(0, top), max(0, left)
        covered[top : top + found.shape[0], left : left + found.shape[1]] = found
        return covered


def _of_png(text: str, height: int, width: int, where: str, is_whole: bool) -> Pixels:
    try:
        content = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as file:
            fits = file.width <= 2 * width + 2 and file.height <= 2 * height + 2  # a bomb does not
            if not fits or (is_whole and (file.height, file.width) != (height, width)):
                raise UserError(
                    f"{where} has a bitmap of {file.width}x{file.height} pixels, its image has {width}x{height}."
                )
            channels = file.getchannel("A") if "A" in file.getbands() else file
            values = np.array(channels)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, binascii.Error, Image.DecompressionBombError) as error:
        shown = reason(error) if isinstance(error, OSError) else error
        raise UserError(f"{where} has a bitmap that is no PNG in base64 ({shown}).") from error
    return np.asarray(values.reshape(*values.shape[:2], -1).any(2))


def number(value: Any, where: str) -> float:
    """A coordinate or an angle, at most a billion from 0.

    Raises:
        UserError: ``value`` is no finite number.
    """
    if type(value) not in (int, float) or not abs(value) < math.inf:
        raise UserError(f"{where} has {brief(value)} where a number is needed.")
    return float(min(max(value, -1e9), 1e9))


def points(values: Any, where: str) -> tuple[Point, ...]:
    """Points as (x, y) pairs.

    Raises:
        UserError: ``values`` is no list of pairs of numbers.
    """
    if not isinstance(values, list) or not all(isinstance(each, list) and len(each) == 2 for each in values):
        raise UserError(f"{where} has the points {brief(values)}: they are a list of [x, y] pairs.")
    return tuple((number(x, where), number(y, where)) for x, y in values)

"""Objects of the embedded data set: the outline, texture and colours of each class, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from deeplab_lit.data.shapes.outlines import (
    Points,
    area,
    arrow,
    box,
    cross,
    disc,
    fish,
    flag,
    house,
    hull,
    lamp,
    lantern,
    leaf,
    moon,
    pennant,
    ring,
    sign,
    star,
    wheel,
)
from deeplab_lit.data.shapes.textures import (
    Texture,
    any_of,
    bricks,
    checks,
    dots,
    fine_checks,
    fine_stripes,
    grain,
    shaded,
    smooth,
    stripes,
    veins,
)


@dataclass(frozen=True)
class Thing:
    """A class of objects: outlines in a unit box (even-odd filled), texture, colours, and the ground it stands on."""

    outline: Callable[[], list[Points]]
    texture: Texture
    colours: tuple[tuple[int, int, int], ...] | None  # None: a random colour
    accent: tuple[tuple[int, int, int], ...] | None = None  # colours of the part with y < -0.2
    ground: str | None = None
    tilt: float = np.pi
    squash: tuple[float, float] = (0.75, 1.0)
    # range of half its extent in pixels; the upper end is for a picture as wide as its domain's are long
    size: tuple[float, float] = (6.0, 64.0)


_WOOD = ((150, 95, 50), (120, 70, 35), (175, 125, 80))
_POST = ((90, 90, 95), (60, 65, 70), (140, 135, 130))

SIMPLE_THINGS: dict[str, Thing] = {
    "ball": Thing(disc, shaded, ((200, 50, 40), (225, 140, 30), (190, 40, 110)), squash=(0.95, 1.0)),
    "ring": Thing(ring, smooth, ((235, 200, 70), (70, 190, 190)), size=(13.0, 64.0)),
    "star": Thing(star, grain, ((60, 80, 200), (200, 70, 160)), size=(11.0, 64.0)),
    "wall": Thing(
        box,
        bricks,
        ((180, 90, 60), (150, 75, 65)),
        tilt=0.3,
        size=(13.0, 64.0),
    ),
    "zebra": Thing(disc, fine_stripes, ((200, 200, 195), (185, 190, 210)), size=(13.0, 64.0)),
    "chess": Thing(disc, fine_checks, ((200, 200, 195), (185, 190, 210)), size=(13.0, 64.0)),
    "leaf": Thing(leaf, veins, ((80, 140, 50), (150, 150, 40), (60, 110, 70)), size=(13.0, 64.0)),
    "boat": Thing(hull, smooth, _WOOD, ground="water", tilt=0.15, size=(22.0, 60.0)),
    "sled": Thing(hull, smooth, _WOOD, ground="snow", tilt=0.15, size=(22.0, 60.0)),
    "flag": Thing(
        flag,
        smooth,
        _POST,
        accent=((190, 40, 50), (50, 70, 170)),
        tilt=0.12,
        squash=(0.9, 1.0),
        size=(36.0, 72.0),
    ),
    "lamp": Thing(
        lamp,
        smooth,
        _POST,
        accent=((240, 225, 150), (235, 235, 215)),
        tilt=0.12,
        squash=(0.9, 1.0),
        size=(36.0, 72.0),
    ),
}
"""Most classes have textures and colours of their own.

Zebra and chess have the same discs and differ by fine detail, flag and lamp have the same pole and differ by their
tops, boat and sled are the same drawing and differ by the ground.
"""


_ANY = any_of((smooth, grain, shaded, dots))


def _thing(
    outline: Callable[[], list[Points]],
    texture: Texture = _ANY,
    ground: str | None = None,
    tilt: float = np.pi,
    squash: tuple[float, float] = (0.75, 1.0),
    smallest: float = 5.0,
) -> Thing:
    """A class of any colour. Half the side of the square of an object's area is ``smallest`` to 80 pixels."""
    half_extent = 2 / area(outline()) ** 0.5
    return Thing(outline, texture, None, None, ground, tilt, squash, (smallest * half_extent, 80 * half_extent))


TARGET_THINGS: Mapping[str, Thing] = {
    "zebra": _thing(disc, stripes),
    "chess": _thing(disc, checks),
    "wall": _thing(box, bricks, tilt=0.5),
    "leaf": _thing(leaf, veins),
    "ball": _thing(disc),
    "ring": _thing(ring),
    "star": _thing(star),
    "moon": _thing(moon),
    "fish": _thing(fish),
    "boat": _thing(hull, ground="water", tilt=0.15, smallest=10.0),
    "sled": _thing(hull, ground="snow", tilt=0.15, smallest=10.0),
    "flag": _thing(pennant, tilt=0.2, squash=(0.9, 1.0), smallest=10.0),
    "lamp": _thing(lantern, tilt=0.2, squash=(0.9, 1.0), smallest=10.0),
    "sign": _thing(sign, tilt=0.2, squash=(0.9, 1.0), smallest=10.0),
}
"""Four classes are known by their texture. The others have any of four further textures: five are known by their
outline, boat and sled by the ground, flag, lamp and sign by the top of their pole."""

SOURCE_THINGS: Mapping[str, Thing] = {
    **TARGET_THINGS,
    "cross": _thing(cross),
    "arrow": _thing(arrow),
    "wheel": _thing(wheel),
    "house": _thing(house, tilt=0.3),
}
"""The classes of ``target`` and four more."""

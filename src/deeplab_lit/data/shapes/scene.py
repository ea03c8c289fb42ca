"""Scene of the embedded data set: a picture of ground, clutter and objects, taken by a simulated camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.labels import VOID
from deeplab_lit.data.shapes.noise import coloured, fractal
from deeplab_lit.data.shapes.objects import Thing
from deeplab_lit.data.shapes.outlines import Canvas, coverage, union
from deeplab_lit.utils.arrays import Bytes

_GROUNDS: dict[str, tuple[tuple[int, int, int], float, float, float]] = {
    # colour, contrast, roughness, stretch of the grain
    "grass": ((95, 120, 60), 26, 0.95, 1.0),
    "sand": ((190, 165, 120), 14, 0.8, 1.5),
    "street": ((115, 112, 110), 16, 0.85, 1.0),
    "water": ((55, 95, 135), 22, 0.7, 5.0),
    "snow": ((222, 226, 234), 10, 0.5, 1.2),
}


@dataclass(frozen=True)
class Domain:
    """The classes and the statistics of the pictures of one domain."""

    things: Mapping[str, Thing]
    long: int = 144  # pixels of a picture's longer side
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    camera_noise: tuple[float, float] = (2.0, 7.0)
    clutter: tuple[int, int] = (4, 12)
    objects: tuple[int, int] = (2, 6)


def render(rng: np.random.Generator, domain: Domain, height: int, width: int) -> tuple[Bytes, Bytes]:
    """A picture, RGB bytes (height, width, 3), and its mask (height, width): background 0, void rims around objects."""
    names = list(domain.things)
    chosen = [names[i] for i in rng.integers(0, len(names), rng.integers(*domain.objects, endpoint=True))]
    image, ground_of = _backdrop(rng, [domain.things[name].ground for name in chosen], height, width)
    _clutter(rng, image, int(rng.integers(*domain.clutter, endpoint=True)))
    labels = np.zeros((height, width), np.uint8)
    # large things first: small ones in front of them stay visible
    sizes = {
        i: _random_size(rng, domain.things[name], min(height, width) / domain.long) for i, name in enumerate(chosen)
    }
    for i in sorted(sizes, key=lambda i: -sizes[i]):
        thing = domain.things[chosen[i]]
        centre = _place(rng, ground_of, thing.ground)
        if centre is not None:
            _draw(rng, image, labels, thing, names.index(chosen[i]) + 1, centre, sizes[i])
    return _photograph(rng, image, domain), _with_void_rim(labels)


def _random_size(rng: np.random.Generator, thing: Thing, scale: float) -> float:
    low, high = thing.size
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high * scale, low + 1)))))


def _backdrop(
    rng: np.random.Generator, wanted: Sequence[str | None], height: int, width: int
) -> tuple[Canvas, NDArray[np.str_]]:
    """A picture of a sky above one or two kinds of ground, and the name of the ground at each pixel."""
    needed = sorted({ground for ground in wanted if ground})
    grounds = needed or [str(rng.choice(list(_GROUNDS)))]
    if len(grounds) == 1 and rng.random() < 0.35:
        grounds = [*grounds, str(rng.choice([name for name in _GROUNDS if name != grounds[0]]))]
    rng.shuffle(grounds)
    names = np.full((height, width), "sky", dtype="<U6")
    sky = np.array([rng.uniform(120, 200), rng.uniform(150, 205), rng.uniform(180, 235)], np.float32)
    image = coloured(rng, sky, fractal(rng, (height, width), 48, 0.45, 2.0), rng.uniform(5, 20))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    horizon = rng.uniform(-0.1, 0.4) * height + 3 * fractal(rng, (1, width), 24, 0.5)[0][None]
    border = rng.uniform(0.3, 0.7) * width + rng.uniform(-0.6, 0.6) * (rows - height / 2)
    border = border + 3 * fractal(rng, (height, 1), 16, 0.5)
    for i, ground in enumerate(grounds):
        colour, contrast, roughness, stretch = _GROUNDS[ground]
        base = np.array(colour, np.float32) * rng.uniform(0.85, 1.15) + rng.normal(0, 8, 3).astype(np.float32)
        paint = coloured(rng, base, fractal(rng, (height, width), 24, roughness, stretch), contrast)
        where = rows > horizon
        if i == 1:
            where = where & (columns > border)
        image[where] = paint[where]
        names[where] = ground
    return image.astype(np.float32), names


def _clutter(rng: np.random.Generator, image: Canvas, count: int) -> None:
    """Blobs and twigs of any colour and texture that belong to no class."""
    height, width = image.shape[:2]
    for _ in range(count):
        if rng.random() < 0.45:
            walk = np.cumsum(rng.normal(0, 7, (6, 2)), axis=0) + rng.uniform(0, 1, 2) * (width, height)
            alpha = coverage([walk.astype(np.float32)], (height, width), thickness=int(rng.integers(3, 9)))
            paint = coloured(rng, rng.uniform(20, 200, 3).astype(np.float32), fractal(rng, (height, width), 8), 8)
        else:
            angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 11)))
            radius = rng.uniform(3, 22) * rng.uniform(0.5, 1.3, len(angle))
            outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
            outline = outline + rng.uniform(0, 1, 2) * (width, height)
            alpha = coverage([outline.astype(np.float32)], (height, width))
            noise = fractal(rng, (height, width), float(rng.uniform(3, 16)), float(rng.uniform(0.4, 0.95)))
            paint = coloured(rng, rng.uniform(20, 230, 3).astype(np.float32), noise, float(rng.uniform(4, 35)))
        alpha = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.4, 1.5)))[..., None]
        image += alpha * (paint - image)


def _place(rng: np.random.Generator, ground_of: NDArray[np.str_], ground: str | None) -> tuple[float, float] | None:
    """A random (x, y) on ``ground``; None if the picture has no such ground."""
    height, width = ground_of.shape
    if ground is None:
        return float(rng.uniform(0.05, 0.95) * width), float(rng.uniform(0.05, 0.95) * height)
    rows, columns = np.nonzero(ground_of == ground)
    if len(rows) == 0:
        return None
    i = int(rng.integers(len(rows)))
    return float(columns[i]), float(rows[i])


def _draw(
    rng: np.random.Generator,
    image: Canvas,
    labels: Bytes,
    thing: Thing,
    index: int,
    centre: tuple[float, float],
    size: float,
) -> None:
    height, width = labels.shape
    angle = rng.uniform(-thing.tilt, thing.tilt)
    squash = rng.uniform(*thing.squash)
    mirror = rng.choice([-1.0, 1.0])
    cos, sin = np.cos(angle), np.sin(angle)
    to_image = size * np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror, squash])
    # outlines that overlap would cancel under the even-odd rule, so only holes share a call with their body
    outlines = [(part @ to_image.T + centre).astype(np.float32) for part in thing.outline()]
    alpha = union(outlines, (height, width))
    edge_blur = float(rng.uniform(0.35, 0.9))
    alpha = cv2.GaussianBlur(alpha, (0, 0), edge_blur)
    if not (alpha > 0.5).any():
        return
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    own = np.linalg.inv(to_image)
    x = (own[0, 0] * (columns - centre[0]) + own[0, 1] * (rows - centre[1])).astype(np.float32)
    y = (own[1, 0] * (columns - centre[0]) + own[1, 1] * (rows - centre[1])).astype(np.float32)
    colour = _colour(rng, thing.colours)
    if thing.accent:
        colour = np.where((y < -0.2)[..., None], _colour(rng, thing.accent), colour)
    pattern = thing.texture(rng, x, y, size)
    light = 1 + rng.uniform(-0.25, 0.25) * x + rng.uniform(-0.25, 0.25) * y
    paint = colour.astype(np.float32) * (2 * pattern * np.clip(light, 0.6, 1.4))[..., None]
    shadow = np.roll(cv2.GaussianBlur(alpha, (0, 0), 2.5), (2, 2), (0, 1)) * rng.uniform(0, 0.4)
    image *= (1 - shadow * (1 - alpha))[..., None]
    image += alpha[..., None] * (paint - image)
    labels[alpha > 0.5] = index


def _colour(rng: np.random.Generator, colours: Sequence[tuple[int, int, int]] | None) -> NDArray[np.float64]:
    if colours is None:
        return rng.uniform(30, 235, 3)
    return np.array(colours[int(rng.integers(len(colours)))]) + rng.normal(0, 12, 3)


def _photograph(rng: np.random.Generator, image: Canvas, domain: Domain) -> Bytes:
    """The bytes of a simulated camera: uneven light, a slightly blurred lens, a sensor with noise."""
    height, width = image.shape[:2]
    image = image * (1 + 0.12 * fractal(rng, (height, width), 64, 0.4))[..., None]
    image = (image - 128) * domain.contrast * rng.uniform(0.8, 1.15) + 128 + rng.normal(0, 12)
    image = image * np.array(domain.tint, np.float32) * rng.normal(1, 0.05, 3).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.7)))
    noisy = image + rng.normal(0, rng.uniform(*domain.camera_noise), image.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def _with_void_rim(labels: Bytes) -> Bytes:
    kernel = np.ones((3, 3), np.uint8)
    rim = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return np.where(rim, np.uint8(VOID), labels)

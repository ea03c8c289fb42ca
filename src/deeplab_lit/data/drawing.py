"""Drawing of images, masks, predictions and their differences, and of class frequencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deeplab_lit.data.image_files import save_image
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.files import replacing

_GAP, _MIN_SIDE = 6, 224


def shown(image: Pixels) -> Bytes:
    """RGB bytes (H, W, 3) of an image (H, W, C): its first three channels, or its first one as grey.

    RGB bytes are returned themselves; 16 bits are reduced to 8.
    """
    picture = image // 257 if image.dtype == np.uint16 else image
    picture = picture[..., :3] if image.shape[2] >= 3 else np.repeat(picture[..., :1], 3, 2)
    return np.ascontiguousarray(picture, np.uint8)


def error_map(truth: Bytes, prediction: Bytes) -> Bytes:
    """RGB bytes (H, W, 3): correct pixels dark green, wrong pixels red, void grey."""
    colours = np.array([[0, 80, 40], [220, 40, 40], [128, 128, 128]], np.uint8)
    return colours[np.where(truth == VOID, 2, truth != prediction)]


def overlay(image: Pixels, mask: Bytes, labels: LabelSet, opacity: float = 0.6) -> Bytes:
    """The image with its class colours blended in, except at void and at a class 0 named ``background``."""
    colours = labels.colours[mask].astype(np.float32)
    weight = np.where((mask == VOID) | ((mask == 0) & (labels.names[0] == "background")), 0.0, opacity)[..., None]
    return np.round(shown(image) * (1 - weight) + colours * weight).astype(np.uint8)


def panel(rows: Sequence[tuple[Pixels, Bytes, Bytes]], labels: LabelSet, titles: Sequence[str] = ()) -> Image.Image:
    """A picture with one row for each (image, truth, prediction), and a legend of the classes that occur.

    Args:
        rows: image (H, W, C), true and predicted class indices (H, W).
        labels: names and colours.
        titles: the line of text above each row.
    """
    cells = [
        [shown(image), labels.colours[truth], overlay(image, guess, labels), error_map(truth, guess)]
        for image, truth, guess in rows
    ]
    return _sheet(cells, ("image", "truth", "network", "errors"), titles, _present(rows), labels)


def comparison(
    rows: Sequence[tuple[Pixels, Bytes, Bytes, Bytes]], labels: LabelSet, titles: Sequence[str] = ()
) -> Image.Image:
    """A picture like that of :func:`panel`; a row is (image, truth, labels before the CRF, labels after it)."""
    cells = [
        [
            shown(image),
            labels.colours[truth],
            *(overlay(image, guess, labels) for guess in guesses),
            change_map(truth, *guesses),
        ]
        for image, truth, *guesses in rows
    ]
    names = ("image", "truth", "network", "with the CRF", "mended and spoilt")
    return _sheet(cells, names, titles, _present(rows), labels)


def change_map(truth: Bytes, before: Bytes, after: Bytes) -> Bytes:
    """RGB bytes (H, W, 3): pixels that the CRF corrected green, that it spoilt red, all others dark; void grey."""
    colours = np.array([[30, 30, 30], [60, 200, 80], [220, 40, 40], [128, 128, 128]], np.uint8)
    was, is_ = before == truth, after == truth
    return colours[np.select([truth == VOID, ~was & is_, was & ~is_], [3, 1, 2], 0)]


def _present(rows: Sequence[tuple[Pixels, ...]]) -> list[int]:
    """The classes in the truths and predictions of some rows."""
    return sorted({int(i) for _, *masks in rows for mask in masks for i in np.unique(mask) if i != VOID})


def _sheet(
    cells: Sequence[Sequence[Bytes]],
    columns: Sequence[str],
    titles: Sequence[str],
    present: Sequence[int],
    labels: LabelSet,
) -> Image.Image:
    """Rows of RGB pictures under column titles, and a legend of the classes."""
    strips = []
    for parts in cells:
        zoom = max(1, round(_MIN_SIDE / max(parts[0].shape[:2])))
        strips.append([Image.fromarray(part).resize((part.shape[1] * zoom, part.shape[0] * zoom), 0) for part in parts])
    cell = max((part.width for strip in strips for part in strip), default=1)
    font = ImageFont.load_default(size=13)
    width = len(columns) * (cell + _GAP) + _GAP
    keys = max(1, width // 150)
    key_height = 20 * (-(-(len(present) + 1) // keys)) + _GAP
    height = 22 + sum(strip[0].height + 18 + _GAP for strip in strips) + key_height
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(columns):
        draw.text((_GAP + column * (cell + _GAP), 4), title, "black", font)
    top = 22
    for number, strip in enumerate(strips):
        draw.text((_GAP, top), titles[number] if number < len(titles) else "", (90, 90, 90), font)
        top += 18
        for column, part in enumerate(strip):
            canvas.paste(part, (_GAP + column * (cell + _GAP), top))
        top += strip[0].height + _GAP
    entries = [(labels.names[i], tuple(labels.colours[i])) for i in present] + [("void", tuple(labels.colours[VOID]))]
    for number, (name, colour) in enumerate(entries):
        x, y = _GAP + 150 * (number % keys), top + 20 * (number // keys)
        draw.rectangle((x, y, x + 14, y + 14), tuple(int(c) for c in colour), "black")
        draw.text((x + 20, y), name, "black", font)
    return canvas


def frequency_chart(pixels: Mapping[str, NDArray[np.int64]], labels: LabelSet) -> Image.Image:
    """Bars of each class's share of the labelled pixels, on a logarithmic scale, for each split.

    Args:
        pixels: split name -> pixels of each class (C,).
        labels: names and colours.
    """
    font = ImageFont.load_default(size=13)
    row, left, length, lowest = 16, 170, 420, 1e-6
    height = 30 + len(labels) * (row * len(pixels) + 6)
    canvas = Image.new("RGB", (left + length + 160, height), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((left, 6), "share of the labelled pixels (0.0001 % to 100 %, logarithmic)", "black", font)
    for number, name in enumerate(labels.names):
        top = 30 + number * (row * len(pixels) + 6)
        draw.text((6, top), name[:22], "black", font)
        for line, (split, counts) in enumerate(pixels.items()):
            share = counts[number] / max(1, counts.sum())
            part = max(0.0, 1 - np.log10(max(share, lowest)) / np.log10(lowest))
            y = top + line * row
            colour = tuple(int(c) for c in labels.palette[number])
            draw.rectangle((left, y + 2, left + round(length * part), y + row - 2), colour, "black")
            text = f"{split} {100 * share:.3g} %" if counts[number] else f"{split}: never"
            draw.text((left + round(length * part) + 6, y), text, (60, 60, 60), font)
    return canvas


def save_png(picture: Image.Image, path: str | Path) -> None:
    """Write a PNG, whole or not at all."""
    with replacing(path) as temporary:
        save_image(picture, temporary, format="PNG")

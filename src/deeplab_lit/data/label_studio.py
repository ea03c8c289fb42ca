"""Label Studio's export: one JSON file with all tasks, whose regions are brush strokes, bitmaps and outlines."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from deeplab_lit.data.annotation_files import Annotated, Labelled, read_json, side, whose
from deeplab_lit.data.brush_codes import Brush
from deeplab_lit.data.regions import Bitmap, Ellipse, Polygon, Region, number, points
from deeplab_lit.utils.errors import UserError, brief

_UPLOADED = re.compile(r"[0-9a-f]{8}-")  # what Label Studio puts before the names of files that it is given
_DATA_URL = "data:image/png;base64,"


@dataclass(frozen=True)
class Task:
    """A task of an export.

    Attributes:
        where: its name, for messages.
        results: the results of its annotation, from the file.
    """

    where: str
    results: tuple[Any, ...]


def read_tasks(path: Path, images: Mapping[str, Path], folder: Path) -> dict[str, Task]:
    """The annotated tasks of an export, by the id of their image.

    A task belongs to the image whose path below ``folder`` ends the path or URL in its data, with or without the eight
    hexadecimal digits that Label Studio puts before the names of uploads. Of several annotations of a task, the ground
    truth counts, otherwise the last one. Tasks without an annotation and skipped ones are left out.

    Args:
        path: the JSON file.
        images: the image files by id.
        folder: the folder of the images.

    Raises:
        UserError: the file is no such export, or tasks belong to no image of ``folder`` or to the same one.
    """
    content = read_json(path)
    if not (
        isinstance(content, list)
        and all(isinstance(task, dict) and isinstance(task.get("annotations"), list) for task in content)
    ):
        raise UserError(
            f"{path} is no JSON of Label Studio, which is a list of tasks with annotations; {whose(content)}."
        )
    by_name = _by_name(images, folder)
    found: dict[str, Task] = {}
    lost: list[str] = []
    for task in content:
        results = _results(task["annotations"])
        if results is None:
            continue
        where, id = f"{path}: task {brief(task.get('id'))}", _image(task, by_name)
        if id is None:
            lost.append(f"{where} of {brief(task.get('data'))}")
        elif id in found:
            raise UserError(
                f"{where} and {found[id].where.removeprefix(f'{path}: ')} are of the same image, {images[id]}: delete "
                "one of them."
            )
        else:
            found[id] = Task(where, results)
    if lost:
        raise UserError(
            f"{lost[0]} has no image in {folder} ({len(lost)} of {len(content)} such): give the folder of the images, "
            "data.images=, with the names that they had before or after the upload."
        )
    return found


def _by_name(images: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """The id of the image that each end of an image's path stands for, such as ``a.jpg`` and ``day/a.jpg``."""
    names: dict[str, set[str]] = {}
    for id, path in images.items():
        parts = path.relative_to(folder).parts
        for start in range(len(parts)):
            names.setdefault("/".join(parts[start:]), set()).add(id)
    return {name: min(ids) for name, ids in names.items() if len(ids) == 1}


def _image(task: Mapping[str, Any], by_name: Mapping[str, str]) -> str | None:
    data = task.get("data")
    given = [*(data.values() if isinstance(data, dict) else ()), task.get("file_upload")]
    for path in (each for text in given if isinstance(text, str) for each in _paths(text)):
        parts = PurePosixPath(path).parts
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        if parts and _UPLOADED.match(parts[-1]):
            ends.append(parts[-1][9:])
        for end in ends:
            if end in by_name:
                return by_name[end]
    return None


def _paths(text: str) -> Iterable[str]:
    """The paths that a URL may mean: its own, and that of a local file, /data/local-files/?d=PATH."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return
    yield from parse_qs(parts.query).get("d", ())
    yield unquote(parts.path)


def _results(annotations: Iterable[Any]) -> tuple[Any, ...] | None:
    """The results of the annotation that counts; None if there is none."""
    done = [each for each in annotations if isinstance(each, dict) and not each.get("was_cancelled")]
    done.sort(key=lambda each: (bool(each.get("ground_truth")), _text(each.get("created_at"))))
    if not done:
        return None
    results = done[-1].get("result")
    return tuple(results) if isinstance(results, list) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def read_label_studio(task: Task) -> Annotated:
    """The annotation of a task's image. Results without a label, such as choices and relations, are not used.

    Raises:
        UserError: a region is malformed, has no area or several labels, or the image was turned.
    """
    regions, sizes = [], set()
    for place, result in enumerate(task.results, 1):
        where = f"{task.where}, result {place}"
        kind = result.get("type") if isinstance(result, dict) else None
        if not isinstance(kind, str):
            raise UserError(f"{where} has no type.")
        if not kind.endswith("labels"):
            continue
        size = side(result.get("original_height"), where), side(result.get("original_width"), where)
        sizes.add(size)
        regions.append(_labelled(result, kind, size, where))
    if len(sizes) > 1:
        raise UserError(f"{task.where} has regions in images of the sizes {sorted(sizes)}: a task has one image.")
    return Annotated(task.where, sizes.pop() if sizes else None, regions)


def _labelled(result: Mapping[str, Any], kind: str, size: tuple[int, int], where: str) -> Labelled:
    value = result.get("value")
    labels = value.get(kind) if isinstance(value, dict) else None
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise UserError(f"{where} has the labels {brief(labels)}: a region has one.")
    where = f"{where} ({brief(labels[0])})"
    if result.get("image_rotation"):
        raise UserError(
            f"{where} was drawn on an image turned by {brief(result['image_rotation'])} degrees in Label Studio: "
            "turn the image file instead."
        )
    assert isinstance(value, dict)
    return Labelled(labels[0], _region(value, kind, size, where), where)


def _region(value: Mapping[str, Any], kind: str, size: tuple[int, int], where: str) -> Region:
    """The region of a result's value, whose coordinates are per cent of the image's width and height."""
    if "rle" in value:
        return Brush(value["rle"])
    if isinstance(png := value.get("imageDataURL"), str):
        return Bitmap(png.removeprefix(_DATA_URL), is_whole=True)
    height, width = size

    def across(key: str) -> float:
        return number(value.get(key), where) * width / 100

    def down(key: str) -> float:
        return number(value.get(key), where) * height / 100

    if "points" in value:
        return Polygon(tuple((x * width / 100, y * height / 100) for x, y in points(value["points"], where)))
    angle = number(value.get("rotation") or 0, where)
    if "radiusX" in value:
        return Ellipse((across("x"), down("y")), (across("radiusX"), down("radiusY")), angle)
    if "width" in value and "height" in value:
        return _rectangle(across("x"), down("y"), across("width"), down("height"), angle)
    raise UserError(
        f"{where} is of the type {brief(kind)}, which covers no pixels: delete it, or draw a polygon instead."
    )


def _rectangle(left: float, top: float, width: float, height: float, angle: float) -> Polygon:
    """A rectangle that is turned clockwise about its top left corner."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    return Polygon(tuple((left + x * cosine - y * sine, top + x * sine + y * cosine) for x, y in corners))

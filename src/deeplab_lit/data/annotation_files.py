"""Annotation files: the JSON of annotation tools, and which tool wrote it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeplab_lit.data.regions import Region
from deeplab_lit.utils.errors import UserError, brief


@dataclass(frozen=True)
class Labelled:
    """A region of an image.

    Attributes:
        label: its label, a class name or a name of void.
        region: the pixels that it covers.
        where: its name, for messages.
    """

    label: str
    region: Region
    where: str


@dataclass(frozen=True)
class Annotated:
    """The annotation of one image.

    Attributes:
        where: its name, for messages.
        size: height and width of the image in pixels; None: the file does not say.
        regions: the labelled regions; a later one lies above an earlier one.
    """

    where: str
    size: tuple[int, int] | None
    regions: Sequence[Labelled]


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: the file cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): export it again.") from error


def whose(content: Any) -> str:
    """What wrote a JSON file that is not of the expected kind, and what to type for it, as a part of a sentence."""
    if isinstance(content, dict):
        if {"images", "annotations", "categories"} <= set(content):
            return "it is COCO's JSON: name it annotations/instances_train.json and type data=coco data.classes=file"
        if "shapes" in content:
            return "it is labelme's JSON of one image: give the folder of these files, data.masks=FOLDER"
        if "_via_img_metadata" in content or "_via_settings" in content:
            return "it is the VGG Image Annotator's JSON: export COCO's there and type data=coco data.classes=file"
        return f"it holds {_some(sorted(map(str, content)))}"
    if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        if all("annotations" in each or "completions" in each for each in content):
            return "it is Label Studio's JSON of all tasks: give the file itself, data.masks=FILE"
        if all("annotation_id" in each for each in content):
            return "it is Label Studio's JSON-MIN: export JSON instead, and give that file, data.masks=FILE"
        return f"it is a list of objects that hold {_some(sorted(map(str, content[0])))}"
    return f"it is {brief(content)}"


def side(value: Any, where: str) -> int:
    """The length of a side of an image in pixels.

    Raises:
        UserError: it is no whole number above 0.
    """
    if type(value) not in (int, float) or not 0 < value < 1 << 31 or value % 1:
        raise UserError(f"{where}: an image has a side of {brief(value)} pixels: it is a whole number above 0.")
    return int(value)


def _some(names: Sequence[str]) -> str:
    return ", ".join(brief(name) for name in names[:4]) + (", ..." if len(names) > 4 else "") or "nothing"

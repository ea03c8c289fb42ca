"""Annotations of a folder's images: labelme's files or Label Studio's file, and the masks that are drawn from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeplab_lit.data.annotation_files import Annotated
from deeplab_lit.data.base import Entry
from deeplab_lit.data.class_list import label_values, read_class_list
from deeplab_lit.data.drawn_masks import Drawing, Job, draw_missing
from deeplab_lit.data.label_studio import read_label_studio, read_tasks
from deeplab_lit.data.labelme import read_labelme
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.progress import Progress

# part of the names of drawn masks: raise it whenever the same annotations give other masks
_VERSION = 1


@dataclass(frozen=True)
class Annotations:
    """The annotations of a folder's images.

    Attributes:
        drawing: how annotations become masks.
        folder: the folder of the drawn masks.
        sources: what the annotation of an image is read from, by the id of the image.
        masks: the file of the drawn mask, by the id of the image. Its path changes when the annotation changes.
    """

    drawing: Drawing
    folder: Path
    sources: Mapping[str, Any]
    masks: Mapping[str, Path]

    def draw(self, entries: Iterable[Entry], progress: Progress | None = None) -> None:
        """Draw the missing masks of ``entries`` whose images exist.

        Raises:
            UserError: as :func:`draw_missing`.
        """
        images = {entry.id: entry.image for entry in entries if entry.id in self.sources and entry.image.is_file()}
        if images:
            jobs = [Job(self.masks[id], image, self.sources[id]) for id, image in images.items()]
            draw_missing(self.drawing, jobs, self.folder, progress)


def labelme_annotations(
    files: Mapping[str, Path], folder: Path, classes: object, converted: str | Path | None
) -> Annotations:
    """The annotations in labelme's files, by the id of their image. A file is drawn anew when it changes.

    Args:
        files: the file of each image.
        folder: the folder that they lie below.
        classes: the class list. All masks are drawn anew when it changes.
        converted: the folder for the masks; None: the cache folder.
    """
    drawing, digest = _drawing(read_labelme, classes, str(folder.absolute()))
    target, masks = cache_folder(converted) / f"labelme-{digest}", {}
    for id, file in files.items():
        about = file.stat()
        masks[id] = target / f"{id}-{_digest(about.st_size, about.st_mtime_ns)}.png"
    return Annotations(drawing, target, files, masks)


def label_studio_annotations(
    file: Path, images: Mapping[str, Path], folder: Path, classes: object, converted: str | Path | None
) -> Annotations:
    """The annotations in Label Studio's export, drawn anew when the file or the class list changes.

    Args:
        file: the export.
        images: the image files by id.
        folder: the folder of the images.
        classes: the class list.
        converted: the folder for the masks; None: the cache folder.

    Raises:
        UserError: as :func:`read_tasks`.
    """
    tasks = read_tasks(file, images, folder)
    with file.open("rb") as content:
        drawing, digest = _drawing(read_label_studio, classes, hashlib.file_digest(content, "sha256").hexdigest())
    target = cache_folder(converted) / f"label_studio-{digest}"
    return Annotations(drawing, target, tasks, {id: target / f"{id}.png" for id in tasks})


def _drawing(read: Callable[[Any], Annotated], classes: object, of: str) -> tuple[Drawing, str]:
    """How annotations become masks, and a digest of that and of what is drawn."""
    labels, _ = read_class_list(classes)
    values, outside = label_values(classes)
    return Drawing(read, values, outside, labels), _digest(_VERSION, values, outside, labels.palette, of)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

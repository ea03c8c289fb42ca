"""PASCAL-Person-Part: the parts of VOC 2010's persons, merged to six (V2, section 4.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from deeplab_lit.data.base import Entry
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.mask_conversion import convert_once
from deeplab_lit.data.mat_files import read_mat, struct_entries
from deeplab_lit.data.voc2010 import VOC2010
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_json
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.progress import Progress

MERGED = {
    "Head": ("head", "hair", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth"),
    "Torso": ("torso", "neck"),
    "Upper Arms": ("luarm", "ruarm"),
    "Lower Arms": ("llarm", "rlarm", "lhand", "rhand"),
    "Upper Legs": ("luleg", "ruleg"),
    "Lower Legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}
"""The parts of a person in the annotations that each class is merged of, in the order of the class indices 1 to 6."""

_CLASS_OF = {part: index for index, parts in enumerate(MERGED.values(), 1) for part in parts}
_RELEASED, _MATS = "pascal_person_part_gt", "Annotations_Part"


class PersonPart(VOC2010):
    """PASCAL-Person-Part: Head, Torso, Upper Arms, Lower Arms, Upper Legs, Lower Legs, and the background.

    The 24 parts of a person are merged to six classes: the head is its hair, eyes, ears, eyebrows, nose and mouth too,
    the torso has the neck, the lower arms have the hands, and the lower legs the feet (:data:`MERGED`). The annotations
    are in one of two forms:

    - ``pascal_person_part_gt/ID.png`` of the released set (pascal_person_part.zip), with the values 0 to 6.
    - ``Annotations_Part/ID.mat`` of PASCAL-Part (its trainval.tar.gz): the struct anno with the parts of each object.
      They are converted to such PNGs once. Other objects than persons are background.

    The lists are the released ones, ``train_id.txt`` (1,716 images) and ``val_id.txt`` (1,817), in the folder
    pascal_person_part_trainval_list beside the annotations, beside the annotations themselves, or in ``root``. Without
    them, the images are those in VOC 2010's own ImageSets/Main whose annotation has a pixel of a person's part.

    Args:
        root: the folder that holds VOC 2010's JPEGImages and ImageSets, or one that holds VOCdevkit/VOC2010.
        annotations: the folder of the annotations, or one that holds a folder of the names above; None: ``root``.
        converted: the folder for the converted masks; None: one in the cache folder.
        train, val: the list to train on and the list to evaluate on: a name without ``_id.txt`` or ``.txt``, or a path.
        train_masks: a folder with ID.png for each training image, used instead of the annotations, such as
            pseudo-labels.
        train_list: a text file with the ids of the training images to use; None: all that ``train`` names.
        val_list: such a file with the images to evaluate on; None: all that ``val`` names.

    Raises:
        UserError: a list or ``train_masks`` does not exist.
    """

    archive = "pascal_person_part.zip, or PASCAL-Part's trainval.tar.gz,"
    forms = (f"pascal_person_part/{_RELEASED}", _RELEASED, _MATS, f"trainval/{_MATS}")
    labels = LabelSet(("background", *MERGED))

    def __init__(
        self,
        root: str | Path | None = None,
        annotations: str | Path | None = None,
        converted: str | Path | None = None,
        train: str = "train",
        val: str = "val",
        train_masks: str | Path | None = None,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
    ) -> None:
        super().__init__(root, annotations, train, val, train_masks, train_list, val_list)
        self._converted = None if converted is None else Path(converted).expanduser()

    def prepare(self, progress: Progress | None = None) -> None:
        """Convert the missing masks on all cores, unless the annotations are the released PNGs."""
        if not self._has_mats():
            return
        read = partial(_read, self.annotations)
        for name in ("train", "val"):
            listed = self.listed_ids(name)
            known = self._with_parts(name, listed)
            ids = listed if known is None else known
            convert_once(self._masks(), ids, read, self.labels, "PASCAL-Part's annotations", progress)
            if known is None:
                there = {file.stem for file in self._masks().glob("*.png")}
                content = {"list": _digest(listed), "with_parts": [id for id in listed if id in there]}
                write_json(self._index(name), content)

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        path, ids, masks = self.list_file(name), self.listed_ids(name), self._masks()
        if path.parent == self.root / "ImageSets" / "Main":
            there = self._with_parts(name, ids) if self._has_mats() else [file.stem for file in masks.glob("*.png")]
            kept = set(there or ())
            if not (ids := [id for id in ids if id in kept]):
                raise UserError(f"{self.annotations} has no part of a person in any image of {path}: give other lists.")
        return path, [Entry(id, self.image(id), masks / f"{id}.png") for id in ids]

    def list_candidates(self, given: str) -> list[Path]:
        folders = (self.annotations.parent, self.annotations, self.root)
        names = (f"pascal_person_part_trainval_list/{given}_id.txt", f"{given}_id.txt")
        return [folder / name for folder in folders for name in names]

    def _has_mats(self) -> bool:
        return self.annotations.name == _MATS or any(self.annotations.glob("*.mat"))

    def _masks(self) -> Path:
        """The folder of the masks that are read."""
        if not self._has_mats():
            return self.annotations
        if self._converted is not None:
            return self._converted
        digest = hashlib.sha256(str(self.annotations.resolve()).encode()).hexdigest()[:12]
        return cache_folder() / f"person_part-{digest}"

    def _index(self, name: str) -> Path:
        return self._masks() / f"{name}.json"

    def _with_parts(self, name: str, listed: Sequence[str]) -> list[str] | None:
        """The listed ids whose annotation has a pixel of a person's part; None: :meth:`prepare` has not looked yet."""
        try:
            content = json.loads(self._index(name).read_text())
        except (OSError, ValueError):
            return None
        return list(content["with_parts"]) if content["list"] == _digest(listed) else None


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def read_parts(path: Path) -> Bytes | None:
    """The merged parts of the persons, class indices (H, W), of a .mat file of PASCAL-Part; None: there are none.

    Later parts, and parts of later objects, cover earlier ones.

    Raises:
        UserError: the file does not exist, cannot be read, or is not one of PASCAL-Part's.
    """
    not_one = f"{path} has no anno with objects: it is not one of PASCAL-Part's {_MATS}/*.mat files."
    annotation = struct_entries(read_mat(path, "anno", "PASCAL-Part's trainval.tar.gz"))
    if len(annotation) != 1 or "objects" not in annotation[0]:
        raise UserError(not_one)
    found: Bytes | None = None
    for each in struct_entries(annotation[0]["objects"]):
        for part in struct_entries(each.get("parts")) if each.get("class") == "person" else ():
            name, mask = part.get("part_name"), part.get("mask")
            if not isinstance(mask, np.ndarray) or mask.ndim != 2 or not isinstance(name, str):
                raise UserError(f"{path} has a part without a name or a mask: extract PASCAL-Part's archive again.")
            if name not in _CLASS_OF:
                raise UserError(f"{path} has the part {name!r}: a person's parts are {', '.join(_CLASS_OF)}.")
            found = np.zeros(mask.shape, np.uint8) if found is None else found
            if mask.shape != found.shape:
                raise UserError(f"{path} has parts of different sizes, {mask.shape} and {found.shape}.")
            found[mask > 0] = _CLASS_OF[name]
    return found if found is not None and found.any() else None


def _read(folder: Path, id: str) -> Bytes | None:
    return read_parts(folder / f"{id}.mat")

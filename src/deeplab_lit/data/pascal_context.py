"""PASCAL-Context: every pixel of VOC 2010's images annotated (V2, section 4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.data.base import Entry
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.mask_conversion import convert_once
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.data.mat_files import read_mat
from deeplab_lit.data.voc2010 import VOC2010
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.progress import Progress

CATEGORIES = 459
"""The number of categories in the annotations; 0 is a pixel without one."""

# the 59 most frequent categories, in the order of their numbers, which is that of their names
_NUMBERS = {
    "aeroplane": 2, "bag": 9, "bed": 18, "bedclothes": 19, "bench": 22, "bicycle": 23, "bird": 25, "boat": 31,
    "book": 33, "bottle": 34, "building": 44, "bus": 45, "cabinet": 46, "car": 59, "cat": 65, "ceiling": 68,
    "chair": 72, "cloth": 80, "computer": 85, "cow": 98, "cup": 104, "curtain": 105, "dog": 113, "door": 115,
    "fence": 144, "floor": 158, "flower": 159, "food": 162, "grass": 187, "ground": 189, "horse": 207,
    "keyboard": 220, "light": 232, "motorbike": 258, "mountain": 259, "mouse": 260, "person": 284, "plate": 295,
    "platform": 296, "pottedplant": 308, "road": 324, "rock": 326, "sheep": 347, "shelves": 349, "sidewalk": 354,
    "sign": 355, "sky": 360, "snow": 366, "sofa": 368, "table": 397, "track": 415, "train": 416, "tree": 420,
    "truck": 424, "tvmonitor": 427, "wall": 440, "water": 445, "window": 454, "wood": 458,
}  # fmt: skip
_OF_VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
# 59_labels.txt and 33_labels.txt number the classes in these orders, from 1 on
_LISTED_59 = (
    *_OF_VOC, "bag", "bed", "bench", "book", "building", "cabinet", "ceiling", "cloth", "computer", "cup", "door",
    "fence", "floor", "flower", "food", "grass", "ground", "keyboard", "light", "mountain", "mouse", "curtain",
    "platform", "sign", "plate", "road", "rock", "shelves", "sidewalk", "sky", "snow", "bedclothes", "track", "tree",
    "truck", "wall", "water", "window", "wood",
)  # fmt: skip
_LISTED_33 = (
    *_OF_VOC, "sky", "grass", "ground", "road", "building", "tree", "water", "mountain", "wall", "floor", "track",
    "keyboard", "ceiling",
)  # fmt: skip

_BACKGROUND = "background"
# the folders of the annotations
_PNGS, _MATS = "SegmentationClassContext", "trainval"
_OFFICIAL_59, _OFFICIAL_33 = "59_context_labels", "33_context_labels"


class PascalContext(VOC2010):
    """PASCAL-Context, with its 59 most frequent classes or 33 of them.

    The 59 classes have the order of their names, as in SegmentationClassContext, and the 33 that of 33_labels.txt. The
    annotations may have each form that is in use. They are converted to PNGs with the chosen classes once, unless they
    are that already.

    - ``trainval/ID.mat``: the variable LabelMap (H, W) with the numbers 1 to 459 of labels.txt, from the data set's
      trainval.tar.gz.
    - ``SegmentationClassContext/ID.png``: 0 for the background, and 1 to 59 in the order of the names, as public
      converters make of trainval_merged.json, which is not read itself.
    - ``59_context_labels/ID.png`` or ``33_context_labels/ID.png``: 0 for the background, and the numbers of
      59_labels.txt or 33_labels.txt, from the data set's archives of these names.

    The lists are ``ImageSets/SegmentationContext/train.txt`` and ``val.txt``, or else VOC 2010's own in
    ``ImageSets/Main``; both name 4,998 and 5,105 images.

    Args:
        root: the folder that holds VOC 2010's JPEGImages and ImageSets, or one that holds VOCdevkit/VOC2010.
        annotations: the folder of the annotations, or one that holds a folder of the names above; None: ``root``. PNGs
            in a folder of another name are taken for those of SegmentationClassContext.
        classes: 59 or 33.
        background: what is none of the classes is the class 0, background, as in the paper; False: it is void.
        converted: the folder for the converted masks; None: one in the cache folder.
        train, val: the list to train on and the list to evaluate on: a name without ``.txt``, or a path.
        train_masks: a folder with ID.png for each training image, used instead of the annotations, such as
            pseudo-labels.
        train_list: a text file with the ids of the training images to use; None: all that ``train`` names.
        val_list: such a file with the images to evaluate on; None: all that ``val`` names.

    Raises:
        UserError: ``classes`` is neither, or a list or ``train_masks`` does not exist.
    """

    archive = "PASCAL-Context's trainval.tar.gz"

    def __init__(
        self,
        root: str | Path | None = None,
        annotations: str | Path | None = None,
        classes: int = 59,
        background: bool = True,
        converted: str | Path | None = None,
        train: str = "train",
        val: str = "val",
        train_masks: str | Path | None = None,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
    ) -> None:
        super().__init__(root, annotations, train, val, train_masks, train_list, val_list)
        if classes == CATEGORIES:
            raise UserError(
                "data.classes=459: masks are bytes, whose value 255 is void, so a label set has 255 classes at most; "
                "type data.classes=59, the most frequent ones and background, or data.classes=33."
            )
        if classes not in (59, 33):
            raise UserError(f"data.classes={classes}: choose 59 or 33.")
        self.forms = (_PNGS, _MATS, *((_OFFICIAL_33,) if classes == 33 else ()), _OFFICIAL_59)
        names = tuple(_NUMBERS) if classes == 59 else _LISTED_33
        self.labels = LabelSet((_BACKGROUND, *names) if background else names)
        self._converted = None if converted is None else Path(converted).expanduser()

    def prepare(self, progress: Progress | None = None) -> None:
        """Convert the missing masks on all cores, unless the annotations are PNGs with these classes already."""
        folder, annotations = self._masks(), self.annotations
        if folder == annotations:
            return
        ids = self.listed_ids("val") if self.train_masks else [*self.listed_ids("train"), *self.listed_ids("val")]
        read = partial(_of_mat if _values(annotations) is _NUMBERS else _of_png, annotations, self._table())
        convert_once(folder, ids, read, self.labels, "PASCAL-Context's annotations", progress)

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        masks = self._masks()
        return self.list_file(name), [Entry(id, self.image(id), masks / f"{id}.png") for id in self.listed_ids(name)]

    def list_candidates(self, given: str) -> list[Path]:
        return [self.root / "ImageSets" / "SegmentationContext" / f"{given}.txt"]

    def _masks(self) -> Path:
        """The folder of the masks that are read."""
        annotations = self.annotations
        if _values(annotations) == {name: index for index, name in enumerate(self.labels.names) if name != _BACKGROUND}:
            return annotations
        if self._converted is not None:
            return self._converted
        digest = hashlib.sha256(f"{annotations.resolve()} {self.labels.names}".encode()).hexdigest()[:12]
        return cache_folder() / f"pascal_context-{digest}"

    def _table(self) -> Bytes:
        """The class index of each value of the annotations, uint8 (largest value + 1,)."""
        values, names = _values(self.annotations), self.labels.names
        if missing := [name for name in names if name != _BACKGROUND and name not in values]:
            raise UserError(
                f"{self.annotations} has {len(values)} classes, without {missing[0]!r} and {len(missing) - 1} others: "
                f"type data.classes={len(values)}, or give data.annotations= a folder with all of them."
            )
        size = (CATEGORIES if values is _NUMBERS else len(values)) + 1
        table = np.full(size, 0 if _BACKGROUND in names else VOID, np.uint8)
        for index, name in enumerate(names):
            if name in values:
                table[values[name]] = index
        return table


def _values(annotations: Path) -> Mapping[str, int]:
    """The value of each class in the annotations of a folder."""
    if annotations.name == _OFFICIAL_59:
        return {name: value for value, name in enumerate(_LISTED_59, 1)}
    if annotations.name == _OFFICIAL_33:
        return {name: value for value, name in enumerate(_LISTED_33, 1)}
    if annotations.name == _MATS or (annotations.name != _PNGS and any(annotations.glob("*.mat"))):
        return _NUMBERS
    return {name: value for value, name in enumerate(_NUMBERS, 1)}


def read_label_map(path: Path) -> NDArray[np.uint16]:
    """The category numbers, uint16 (H, W), of a .mat file of PASCAL-Context; 0 is a pixel without a category.

    Raises:
        UserError: the file does not exist, cannot be read, or is not one of PASCAL-Context's.
    """
    found = read_mat(path, "LabelMap", PascalContext.archive)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or not found.size:
        raise UserError(f"{path} has no matrix LabelMap: it is not one of PASCAL-Context's trainval/*.mat files.")
    wrong = ~((found >= 0) & (found <= CATEGORIES) & (found == np.floor(found)))
    if wrong.any():
        raise UserError(f"{path} has the category {found[wrong][0]}: PASCAL-Context's are whole numbers from 0 to 459.")
    return found.astype(np.uint16)


def _of_mat(annotations: Path, table: Bytes, id: str) -> Bytes:
    """The mask of an id, class indices (H, W); ``table`` has the class index of each category."""
    return table[read_label_map(annotations / f"{id}.mat")]


def _of_png(annotations: Path, table: Bytes, id: str) -> Bytes:
    """The mask of an id, class indices (H, W); ``table`` has the class index of each value but void."""
    path = annotations / f"{id}.png"
    values = read_mask(path)
    highest = int((values + np.uint8(1)).max()) - 1  # void plus 1 wraps round to 0
    if highest >= len(table):
        raise UserError(f"{path} has the value {highest}: masks of {annotations.name} hold 0 to {len(table) - 1}.")
    return np.append(table, np.full(256 - len(table), VOID, np.uint8))[values]

"""Cityscapes: street scenes of 50 cities, 2048 x 1024 pixels, with 19 classes (V2, section 4.4)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from deeplab_lit.data.base import Entry, Layout
from deeplab_lit.data.half_size import Job, write_half
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.mask_conversion import one_converter
from deeplab_lit.data.mask_files import coloured
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress

CITYSCAPES = LabelSet(
    (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip
"""The 19 classes that are evaluated, in the order of their train ids."""

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each class of :data:`CITYSCAPES`, as the masks of the data set and its server have them."""

_IGNORED_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
_KINDS = {"label_ids": "labelIds", "train_ids": "labelTrainIds"}
_VALUES = {
    "label_ids": (*zip(LABEL_IDS, range(len(CITYSCAPES)), strict=True), *((id, VOID) for id in _IGNORED_IDS)),
    "train_ids": (*((index, index) for index in range(len(CITYSCAPES))), (VOID, VOID)),
}
_IMAGES, _MASKS = "leftImg8bit", "gtFine"
_ARCHIVES = {_IMAGES: "leftImg8bit_trainvaltest.zip", _MASKS: "gtFine_trainvaltest.zip"}
_ID = re.compile(r"[\w-]+_\d{6}_\d{6}")


def id_of(name: str) -> str | None:
    """The id CITY_SEQ_FRAME that the name of an image begins with, such as ``aachen_000000_000019``; None: it has none.

    The folders in front of the name, as in ``aachen/aachen_000000_000019_leftImg8bit``, do not matter.
    """
    found = _ID.match(name.rsplit("/", 1)[-1])
    return found[0] if found else None


class Cityscapes(Layout):
    """Cityscapes in its published layout, of which two archives are needed.

    leftImg8bit_trainvaltest.zip holds leftImg8bit/SPLIT/CITY/CITY_SEQ_FRAME_leftImg8bit.png, and
    gtFine_trainvaltest.zip gtFine/SPLIT/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png. The splits are train (2,975 images),
    val (500) and test (1,525, without true masks). An image has the id CITY_SEQ_FRAME.

    Args:
        root: the folder that holds leftImg8bit and gtFine; required.
        train: the split to train on, a folder inside leftImg8bit.
        val: the split to evaluate on.
        labels: the masks that are read: ``"label_ids"``, whose ids outside the 19 classes are void, or ``"train_ids"``,
            which the script createTrainIdLabelImgs of the data set's own package cityscapesscripts makes.
        half_size: take images and masks at half size, 1024 x 512. They are converted once, by the means and the most
            frequent labels of squares of four pixels.
        converted: the folder for the files at half size, in the published layout with train ids; None: one in the
            cache folder for each root. A file that is there is not made again.
        train_masks: a folder with ID.png for each training image, used instead of gtFine, such as pseudo-labels. Their
            pixel values are train ids, and they have the size of the images.
        train_list: a text file with the training images to use: ids, or paths of images; None: all.
        val_list: such a file with the images to evaluate on; None: all.

    Raises:
        UserError: ``root`` is missing or is not laid out so, or ``labels`` is unknown.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        train: str = "train",
        val: str = "val",
        labels: str = "label_ids",
        half_size: bool = False,
        converted: str | Path | None = None,
        train_masks: str | Path | None = None,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
    ) -> None:
        super().__init__(train_masks, train_list, val_list)
        if labels not in _KINDS:
            raise UserError(f"data.labels={labels!r}: choose {' or '.join(_KINDS)}.{closest(str(labels), _KINDS)}")
        if root is None:
            raise UserError(
                "data.root is missing: type data.root=FOLDER, the one that holds leftImg8bit and gtFine (or "
                "roots.cityscapes=FOLDER, for all rows of a table)."
            )
        self.root, self.labels = Path(root).expanduser(), CITYSCAPES
        _check_root(self.root)
        self._splits, self._kind, self._half_size = {"train": train, "val": val}, labels, half_size
        self._in_files = replace(coloured(self.labels), values=_VALUES[labels])
        self.coding = coloured(self.labels) if half_size else self._in_files
        self._converted = self._cache(labels) if converted is None else Path(converted).expanduser()

    def _cache(self, labels: str) -> Path:
        digest = hashlib.sha256(f"{self.root.resolve()} {labels}".encode()).hexdigest()[:12]
        return cache_folder() / f"cityscapes_half-{digest}"

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        split = self._splits[name]
        folder = self.root / _IMAGES / split
        if not folder.is_dir():
            there = sorted(each.name for each in (self.root / _IMAGES).iterdir() if each.is_dir())
            raise UserError(
                f"{folder} does not exist: choose data.{name}= one of {', '.join(there) or 'none'}, or extract "
                f"{_ARCHIVES[_IMAGES]} again.{closest(split, there)}"
            )
        images = sorted(folder.glob(f"*/[!.]*_{_IMAGES}.png"))
        if not images:
            raise UserError(
                f"{folder} holds no CITY/CITY_SEQ_FRAME_{_IMAGES}.png: extract {_ARCHIVES[_IMAGES]} into {self.root}."
            )
        if name == "val" or self.train_masks is None:
            self._check_masks(name, split)
        return folder, [self._entry(image) for image in images]

    def _check_masks(self, name: str, split: str) -> None:
        """Raise UserError if a split has no masks of the kind that is read."""
        folder = self.root / _MASKS / split
        if split == "test":
            others = "" if name == "val" else ", or give data.train_masks=FOLDER"
            raise UserError(
                f"data.{name}=test: the true masks of test are not published; choose train or val{others}. `predict "
                f"format=cityscapes_server` makes masks of test for the data set's server."
            )
        if not folder.is_dir():
            raise UserError(
                f"{folder} does not exist: extract {_ARCHIVES[_MASKS]} into {self.root}; it is on "
                "www.cityscapes-dataset.com, after registration."
            )
        if self._has(folder, self._kind):
            return
        other = next(kind for kind in _KINDS if kind != self._kind)
        mends = [f"type data.labels={other} for the {_KINDS[other]} that are there"] if self._has(folder, other) else []
        if self._kind == "train_ids":
            mends.append("make them with createTrainIdLabelImgs of the package cityscapesscripts")
        else:
            mends.append(f"extract {_ARCHIVES[_MASKS]} into {self.root}")
        raise UserError(f"{folder} holds no CITY/*_{_MASKS}_{_KINDS[self._kind]}.png: {', or '.join(mends)}.")

    def _has(self, folder: Path, kind: str) -> bool:
        return next(folder.glob(f"*/[!.]*_{_MASKS}_{_KINDS[kind]}.png"), None) is not None

    def _entry(self, image: Path) -> Entry:
        """The entry of an image below the root, with the files that are read."""
        base, kind = (self._converted, "train_ids") if self._half_size else (self.root, self._kind)
        inside = image.parent.relative_to(self.root / _IMAGES)
        id = image.name.removesuffix(f"_{_IMAGES}.png")
        mask = base / _MASKS / inside / f"{id}_{_MASKS}_{_KINDS[kind]}.png"
        return Entry(id, base / _IMAGES / inside / image.name, mask)

    def entry_of(self, line: str, where: Path) -> Entry | None:
        id = id_of(line.split()[0])
        if id is None:
            return None
        found = sorted((self.root / _IMAGES).glob(f"*/{id.rsplit('_', 2)[0]}/{id}_{_IMAGES}.png"))
        return self._entry(found[0]) if found else None

    def prepare(self, progress: Progress | None = None) -> None:
        """Convert what is missing at half size, on all cores.

        Raises:
            UserError: a file does not exist or cannot be read, or the folder cannot be made.
        """
        # where nothing is left to write, the folder may be one that cannot be written to
        if not self._half_size or not any(self._missing(name) for name in self._splits):
            return
        with one_converter(self._converted, "files at half size"):
            jobs = [job for name in self._splits for job in self._missing(name)]
            work = partial(write_half, self._in_files, self.labels.colours)
            for _ in spread(work, jobs, f"converting to half size once into {self._converted}", progress):
                pass

    def _missing(self, name: str) -> list[Job]:
        """The conversions of a split that have not been done."""
        split = self.listing(name)
        missing = set(split.missing())
        own_masks = name == "val" or self.train_masks is None
        images = [self._original(file) for file in split.images]
        masks = [self._original(file) for file in split.masks] if own_masks else images
        Split(split.ids, images, masks, len(self.labels), split.listed_in).checked()
        jobs: list[Job] = [("image", *pair) for pair in zip(images, split.images, strict=True)]
        if own_masks:
            jobs += [("mask", *pair) for pair in zip(masks, split.masks, strict=True)]
        return [job for job in jobs if job[2] in missing]

    def _original(self, file: Path) -> Path:
        """The file below the root that a file at half size is made of."""
        old = self.root / file.relative_to(self._converted)
        return old.with_name(old.name.replace(_KINDS["train_ids"], _KINDS[self._kind]))


def _check_root(root: Path) -> None:
    """Raise UserError unless a folder holds leftImg8bit; whether gtFine is needed depends on the split."""
    if (root / _IMAGES).is_dir():
        return
    wanted = "data.root is the folder that holds leftImg8bit and gtFine"
    if not root.is_dir():
        raise UserError(f"data.root={str(root)!r} is not a folder: {wanted}.")
    if root.name in _ARCHIVES and any((root / split).is_dir() for split in ("train", "val", "test")):
        raise UserError(f"data.root={str(root)!r} is {root.name} itself: {wanted}, here {root.resolve().parent}.")
    if nested := sorted(root.glob(f"*/{_IMAGES}")):
        raise UserError(
            f"{root} has {_IMAGES} in {nested[0].parent.name}: {wanted} beside each other; extract "
            f"{' and '.join(_ARCHIVES.values())} into one folder."
        )
    raise UserError(
        f"{root} holds no {_IMAGES}: {wanted}; the images are in {_ARCHIVES[_IMAGES]} on www.cityscapes-dataset.com, "
        "after registration."
    )

"""SBD (Semantic Boundaries Dataset) joined with VOC: the papers' 10,582 "trainaug" images (V2, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from deeplab_lit.data.base import Entry, inside, read_list
from deeplab_lit.data.downloads import download_sbd, fetch_once
from deeplab_lit.data.mask_conversion import convert_once
from deeplab_lit.data.mat_files import read_mat, struct_entries
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.progress import Progress


def trainaug(
    sbd_train: Iterable[str], sbd_val: Iterable[str], voc_train: Iterable[str], voc_val: Iterable[str]
) -> list[str]:
    """SBD train + SBD val + VOC train - VOC val, sorted: the official lists give 10,582 ids."""
    return sorted({*sbd_train, *sbd_val, *voc_train} - set(voc_val))


class VOCAug(VOC):
    """PASCAL VOC 2012, trained on the masks of VOC and SBD and evaluated on VOC's own list.

    An image with two masks takes VOC's, which is finer and has a void rim. SBD's .mat files are converted to PNGs once.

    Args:
        root: the folder of VOC 2012, as in :class:`VOC`.
        sbd: the folder that holds SBD's cls, img, train.txt and val.txt, or one that holds benchmark_RELEASE/dataset;
            None: the folder that ``download`` fills, or none if both ``train_list`` and ``train_masks`` are given;
            False: train on VOC's own list and masks alone.
        converted: the folder for the PNGs made of SBD's masks; None: one in the cache folder.
        val: the VOC list to evaluate on; its images are left out of the training.
        train_masks: as in :class:`VOC`; SBD's masks are then not needed.
        download: fetch VOC and SBD if they are not there.
        train_list: a text file with the ids of the training images to use, which need only have an image and a mask;
            None: all of trainaug.
        val_list: such a file with the images to evaluate on; None: all that ``val`` names.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        sbd: str | Path | Literal[False] | None = None,
        converted: str | Path | None = None,
        val: str = "val",
        train_masks: str | Path | None = None,
        download: bool = False,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
    ) -> None:
        super().__init__(root, "train", val, None, train_masks, download, train_list, val_list)
        # a list and a folder of masks say which images are trained on, and with what
        self._without_sbd = sbd is False or (sbd is None and train_list is not None and train_masks is not None)
        self._sbd_given = Path(sbd).expanduser() if sbd else cache_folder() / "sbd"
        self._converted = cache_folder() / "sbd_masks" if converted is None else Path(converted).expanduser()

    @property
    def sbd(self) -> Path:
        """The folder that holds SBD's lists."""
        inside = self._sbd_given / "benchmark_RELEASE" / "dataset"
        return inside if inside.is_dir() and not (self._sbd_given / "cls").is_dir() else self._sbd_given

    def prepare(self, progress: Progress | None = None) -> None:
        """Fetch the data if ``download`` is set, and convert the missing masks on all cores."""
        super().prepare(progress)
        if self._without_sbd:
            return
        if self._download:
            fetch_once("SBD", self._sbd_given, self._sbd_is_whole, download_sbd, progress)
        if self.train_masks is None:
            self._convert(progress)

    def _sbd_is_whole(self) -> bool:
        lists = [self.sbd / "train.txt", self.sbd / "val.txt"]
        if not all(path.is_file() for path in lists):
            return False
        return all((self.sbd / "cls" / f"{id}.mat").is_file() for path in lists for id in read_list(path))

    def _convert(self, progress: Progress | None) -> None:
        own = set(self._own())
        wanted = [id for id in self.ids() if id not in own]
        read = partial(_read, self.sbd / "cls")
        convert_once(self._converted, wanted, read, self.labels, "SBD's masks", progress)

    def ids(self) -> list[str]:
        """The training ids of trainaug, from the lists of SBD and VOC.

        Raises:
            UserError: a list does not exist.
        """
        lists = []
        for name in ("train", "val"):
            path = self.sbd / f"{name}.txt"
            if not path.is_file():
                raise UserError(
                    f"{path} does not exist: give data.sbd=FOLDER (roots.sbd=FOLDER for a row of a table), the one "
                    "that holds SBD's train.txt, val.txt and cls (benchmark_RELEASE/dataset in its archive), or "
                    "data.download=true. Without SBD, data.sbd=false trains on VOC's own list, and data.train_list= "
                    "with data.train_masks= on yours."
                )
            lists.append([inside(id, path) for id in read_list(path)])
        return trainaug(lists[0], lists[1], self._own(), self._held_out())

    def _own(self) -> list[str]:
        """The ids of VOC's own training list."""
        path = self.list_file("train")
        return [self._entry(line, path).id for line in read_list(path)]

    def _held_out(self) -> set[str]:
        """The ids of ``data.val``, and of VOC's official val even if ``data.val`` names another list."""
        lists = {self.list_file("val"), self.root / "ImageSets" / "Segmentation" / "val.txt"}
        return {self._entry(line, path).id for path in lists if path.is_file() for line in read_list(path)}

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        if name != "train":
            return super().entries(name)
        if self._without_sbd:
            path, entries = super().entries(name)
            held_out = self._held_out()
            if not (kept := [entry for entry in entries if entry.id not in held_out]):
                raise UserError(f"{path} names only images to evaluate on ({self.list_file('val')}): give other lists.")
            return path, kept
        own = set(self._own())
        images = {file.stem for file in (self.root / "JPEGImages").glob("*.jpg")}
        found = []
        for id in self.ids():
            image = (self.root / "JPEGImages" if id in images else self.sbd / "img") / f"{id}.jpg"
            mask = (self.root / "SegmentationClass" if id in own else self._converted) / f"{id}.png"
            found.append(Entry(id, image, mask))
        return f"trainaug of {self.sbd} and {self.root}", found

    def entry_of(self, line: str, where: Path) -> Entry:
        entry = self._entry(line, where)
        if self._without_sbd:
            return entry
        image = entry.image if entry.image.is_file() else self.sbd / "img" / entry.image.name
        mask = entry.mask if entry.mask.is_file() else self._converted / entry.mask.name
        return Entry(entry.id, image, mask, entry.tags)


def read_sbd_mask(path: Path) -> Bytes:
    """The class indices, uint8 (H, W), of an SBD .mat file.

    Raises:
        UserError: the file does not exist, cannot be read, or is not one of SBD's.
    """
    found = struct_entries(read_mat(path, "GTcls", "SBD's archive"))
    if not found or "Segmentation" not in found[0]:
        raise UserError(f"{path} has no GTcls with a Segmentation: it is not one of SBD's cls/*.mat files.")
    mask = found[0]["Segmentation"]
    if isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.ndim == 2:
        return mask
    raise UserError(f"{path}: GTcls.Segmentation is no byte image: it is not one of SBD's cls/*.mat files.")


def _read(folder: Path, id: str) -> Bytes:
    return read_sbd_mask(folder / f"{id}.mat")

"""Folder data set: a folder of images and a folder of masks with the same file names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deeplab_lit.data.base import Entry, Layout, find_list, inside, read_list, refuse_doubles
from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.image_files import pictures_below
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.utils.errors import UserError


class Folder(Layout):
    """A data set of a folder of images and a folder of PNG masks with the same names (see :func:`read_mask`).

    ``train`` and ``val`` name the lists of the splits. Without lists, the splits are the subfolders train/ and val/, if
    the image folder has both. Otherwise the hash of its name puts an image into a split, so that added images leave the
    others in their split.

    Args:
        root: the folder that holds the image folder and the mask folder.
        images: the folder of the images, by name below ``root`` or by absolute path.
        masks: the folder of the masks, in the same way.
        classes: a class list (see :func:`read_class_list`).
        train: the list of the training images, a path, or a name below ``root`` without ``.txt``. Its lines are paths
            of images below ``images`` without suffix, with or without image tags. None: train/ and val/ inside both
            folders, or a share of the images.
        val: the list of the validation images, as ``train``.
        val_share: the share of validation images where neither lists nor train/ and val/ say which they are.
        train_masks: a folder with ID.png for each training image, used instead of ``masks``, such as pseudo-labels.
        binary: masks hold 0 and 255 (or 0 and 1), and 255 is the second class instead of void.

    Raises:
        UserError: a folder does not exist, one list is given without the other, ``val_share`` is not between 0 and 1,
            or ``binary`` is set for more than two classes.
    """

    list_key = "data.train"

    def __init__(
        self,
        root: str | Path,
        classes: str | Path | Sequence[str],
        images: str | Path = "images",
        masks: str | Path = "masks",
        train: str | None = None,
        val: str | None = None,
        val_share: float = 0.1,
        train_masks: str | Path | None = None,
        binary: bool = False,
    ) -> None:
        super().__init__(train_masks)
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise UserError(f"data.root='{root}' is not a folder: give the one that holds {images} and {masks}.")
        self.labels, self.coding = read_class_list(classes)
        if binary and len(self.labels) != 2:
            raise UserError(f"data.binary=true is for 2 classes, but data.classes={classes} names {len(self.labels)}.")
        self.coding = replace(self.coding, binary=binary)
        self.images = self._folder(images, "images")
        # required even with train_masks, since the validation split reads its masks here
        self.masks = self._folder(masks, "masks")
        if (train is None) != (val is None):
            raise UserError(f"data.train={train} and data.val={val}: give both lists or neither.")
        if not 0 < val_share < 1:
            raise UserError(f"data.val_share={val_share}: it is between 0 and 1.")
        self._lists, self._val_share = {"train": train, "val": val}, val_share

    def _folder(self, given: str | Path, key: str) -> Path:
        path = Path(given).expanduser()
        found = path if path.is_absolute() else self.root / path
        if not found.is_dir():
            raise UserError(
                f"{found} is not a folder: give data.{key}= the one inside data.root={self.root}, or a path."
            )
        return found

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        images = self._pictures()
        given = self._lists[name]
        if given is not None:
            path = find_list(given, self.root, f"data.{name}")
            entries = [self._listed(line, images, path) for line in read_list(path)]
            refuse_doubles([entry.id for entry in entries], path)
            return path, entries
        ids = sorted(self._own(name, images))
        if not ids:
            raise UserError(
                f"{self.images} holds no image for {name}: give lists, data.train= and data.val=, or another "
                "data.val_share=."
            )
        if name == "val" or self.train_masks is None:
            self._refuse_lonely_masks(images)
        return self.images, [self._entry(id, images[id]) for id in ids]

    def _own(self, name: str, images: dict[str, Path]) -> list[str]:
        if all((self.images / each).is_dir() for each in ("train", "val")):
            return [id for id in images if Path(id).parts[0] == name]
        val = {id for id in images if _fraction(id) < self._val_share} or {min(images, key=_fraction, default="")}
        return [id for id in images if (id in val) == (name == "val")]

    def _listed(self, line: str, images: dict[str, Path], where: Path) -> Entry:
        parsed = parse_line(line, where)
        # what looks like two paths is a name with a space
        id, tags = (line, None) if line in images or parsed.paths else (parsed.id, parsed.tags)
        entry = self._entry(id, images.get(id, self.images / f"{inside(id, where)}.jpg"))
        return replace(entry, tags=tags)

    def _entry(self, id: str, image: Path) -> Entry:
        return Entry(id, image, self.masks / f"{id}.png")

    def _pictures(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for file in pictures_below(self.images):
            id = file.relative_to(self.images).with_suffix("").as_posix()
            if id in found:
                raise UserError(f"{found[id]} and {file} share the name {id!r}: keep one of them.")
            found[id] = file
        return found

    def _refuse_lonely_masks(self, images: dict[str, Path]) -> None:
        for file in sorted(self.masks.rglob("*.png")):
            id = file.relative_to(self.masks).with_suffix("").as_posix()
            if id not in images:
                raise UserError(f"{file} is a mask without an image: {self.images} has no picture called {id!r}.")


def _fraction(id: str) -> float:
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") / 2**64

"""Folder data set: a folder of images, and masks of the same file names or the annotations of a tool."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from deeplab_lit.data.annotation_files import read_json, whose
from deeplab_lit.data.annotations import Annotations, label_studio_annotations, labelme_annotations
from deeplab_lit.data.base import Entry, Layout, find_list, inside, read_list, refuse_doubles
from deeplab_lit.data.channel_statistics import Statistics
from deeplab_lit.data.class_list import beside, read_class_list
from deeplab_lit.data.image_files import pictures_below
from deeplab_lit.data.labelme import is_labelme
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.data.pixel_format import RGB
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.progress import Progress

_MISSING = ("refuse", "leave_out")
_BRUSH_PNG = re.compile(r"task-\d+-annotation-\d+-by-")


class Folder(Layout):
    """A data set of a folder of images, and their masks.

    The mask of the image ID is ID.png in the folder of the masks (see :func:`read_mask`) or, without that, labelme's
    ID.json. One JSON file of Label Studio may stand in the place of that folder. Annotations are drawn once into index
    PNGs, each region above those before it.

    ``train`` and ``val`` name the lists of the splits. Without lists, the splits are the subfolders train/ and val/, if
    the image folder has both. Otherwise the hash of its name puts an image into a split, so that added images leave the
    others in their split.

    Args:
        root: the folder that holds the image folder and the mask folder.
        images: the folder of the images, by name below ``root`` or by absolute path.
        masks: the folder of the masks, in the same way, or Label Studio's JSON file. It may be the folder of the
            images if the masks are JSON files.
        classes: a class list (see :func:`read_class_list`). A file may be given by its path below ``root``.
        train: the list of the training images, a path, or a name below ``root`` without ``.txt``. Its lines are paths
            of images below ``images`` without suffix, with or without image tags. None: train/ and val/ inside both
            folders, or a share of the images.
        val: the list of the validation images, as ``train``.
        val_share: the share of validation images where neither lists nor train/ and val/ say which they are.
        train_masks: a folder with ID.png for each training image, used instead of ``masks``, such as pseudo-labels.
        binary: masks hold 0 and 255 (or 0 and 1), and 255 is the second class instead of void.
        missing_masks: ``"refuse"`` images without a mask, or ``"leave_out"`` these images.
        converted: the folder for masks that are drawn; None: the cache folder.
        channels: the channels of each image. Other images than 3 channels of 8 bits are PNGs, TIFFs or .npy files
            (H, W, C), and are read as they are.
        bits: 8, or 16 for files whose 16 bits are kept.
        mean: of each channel, or of each beyond the third, in units of the files' values; or ``"measured"`` over the
            training images. None: the first three have that of the weights, others are measured.
        std: the standard deviation, as ``mean``.

    Raises:
        UserError: a folder does not exist, one list is given without the other, ``val_share`` is not between 0 and 1,
            ``binary`` is set for more than two classes, or ``missing_masks`` is unknown.
    """

    list_key = "data.train"
    mend = "add what is missing, take it off the list, or type data.missing_masks=leave_out"

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
        missing_masks: str = "refuse",
        converted: str | Path | None = None,
        channels: int = 3,
        bits: int = 8,
        mean: Statistics = None,
        std: Statistics = None,
    ) -> None:
        super().__init__(train_masks)
        self.take_channels(channels, bits, mean, std)
        if missing_masks not in _MISSING:
            hint = closest(str(missing_masks), _MISSING)
            raise UserError(f"data.missing_masks={missing_masks!r}: choose {' or '.join(_MISSING)}.{hint}")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise UserError(f"data.root='{root}' is not a folder: give the one that holds {images} and {masks}.")
        self._classes = beside(classes, self.root)
        self._converted, self._leaves_out = converted, missing_masks == "leave_out"
        self.labels, self.coding = read_class_list(self._classes)
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
        if key == "masks" and found.suffix == ".json" and found.is_file():
            return found
        if not found.is_dir():
            is_cvats = key == "images" and (self.root / "labelmap.txt").is_file()
            hint = " CVAT exports images where that is chosen." if is_cvats else ""
            what = "does not exist" if found.suffix == ".json" else "is not a folder"
            raise UserError(
                f"{found} {what}: give data.{key}= the one inside data.root={self.root}, or an absolute path.{hint}"
            )
        return found

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw the missing masks of annotated images, on all cores.

        Raises:
            UserError: an annotation is malformed, does not fit its image, or has labels that are no classes.
        """
        if self._annotations is None:
            return
        if self.coding.binary:
            raise UserError(f"data.binary=true is for PNGs, but {self.masks} has annotations of JSON: leave it out.")
        own = [name for name in self._lists if name == "val" or self.train_masks is None]
        self._annotations.draw([entry for name in own for entry in self.entries(name)[1]], progress)

    @cached_property
    def _annotations(self) -> Annotations | None:
        """The annotations of images that have no PNG; None if there are none."""
        if not self.masks.is_dir():
            return label_studio_annotations(self.masks, self._images, self.images, self._classes, self._converted)
        files = {id: file for id, file in self._jsons.items() if id in self._images and id not in self._pngs}
        return labelme_annotations(files, self.masks, self._classes, self._converted) if files else None

    @cached_property
    def _pngs(self) -> dict[str, Path]:
        return {} if self.masks == self.images else _files_below(self.masks, ".png")

    @cached_property
    def _jsons(self) -> dict[str, Path]:
        return _files_below(self.masks, ".json")

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        where, entries = self._all_entries(name)
        if not self._leaves_out or (name == "train" and self.train_masks is not None):
            return where, entries
        kept = [entry for entry in entries if self._has_mask(entry.id)]
        if not kept:
            raise UserError(f"{self.masks} holds no mask for an image of {name}: give another data.masks=.")
        return where, kept

    def _all_entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        images = self._images
        given = self._lists[name]
        if given is not None:
            path = find_list(given, self.root, f"data.{name}")
            entries = [self._listed(line, images, path) for line in read_list(path)]
            refuse_doubles([entry.id for entry in entries], path)
            return path, entries
        ids = sorted(self._own(name, images))
        if not ids and not self._leaves_out:
            if self.pixels == RGB and not images and pictures_below(self.images, arrays=True):
                raise UserError(
                    f"{self.images} holds .npy files alone: type how many channels and bits they have, such as "
                    "data.channels=4 data.bits=16."
                )
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
        masked = [id for id in images if not self._leaves_out or self._has_mask(id)]
        val = {id for id in masked if _fraction(id) < self._val_share} or {min(masked, key=_fraction, default="")}
        if name == "val":
            return [id for id in masked if id in val]
        return [id for id in (masked if self.train_masks is None else images) if id not in val]

    def _has_mask(self, id: str) -> bool:
        return id in self._drawn or id in self._pngs

    @property
    def _drawn(self) -> Mapping[str, Path]:
        return {} if self._annotations is None else self._annotations.masks

    def _listed(self, line: str, images: dict[str, Path], where: Path) -> Entry:
        parsed = parse_line(line, where)
        # what looks like two paths is a name with a space
        id, tags = (line, None) if line in images or parsed.paths else (parsed.id, parsed.tags)
        entry = self._entry(id, images.get(id, self.images / f"{inside(id, where)}.jpg"))
        return replace(entry, tags=tags)

    def _entry(self, id: str, image: Path) -> Entry:
        ending = ".json" if self.masks == self.images else ".png"
        return Entry(id, image, self._drawn.get(id, self.masks / f"{id}{ending}"))

    @cached_property
    def _images(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for file in pictures_below(self.images, arrays=self.pixels != RGB):
            id = file.relative_to(self.images).with_suffix("").as_posix()
            if id in found:
                raise UserError(f"{found[id]} and {file} share the name {id!r}: keep one of them.")
            found[id] = file
        return found

    def _refuse_lonely_masks(self, images: dict[str, Path]) -> None:
        for file in self._pngs.values():
            if _BRUSH_PNG.match(file.name):
                raise UserError(
                    f"{file} is one of Label Studio's brush PNGs, which do not name their images: export JSON there, "
                    "which has the same strokes, and give that file, data.masks=FILE."
                )
        if lonely := [file for id, file in self._pngs.items() if id not in images]:
            raise _without_images(lonely, self.images)
        lonely = [file for id, file in self._jsons.items() if id not in images]
        is_without_masks = not any(map(self._has_mask, images))
        if not lonely or not (self._annotations or is_without_masks):
            return
        if is_labelme(content := read_json(lonely[0])):
            raise _without_images(lonely, self.images)
        if is_without_masks:  # beside masks it may hold anything
            raise UserError(f"{lonely[0]} is no JSON of labelme; {whose(content)}.")


def _files_below(folder: Path, ending: str) -> dict[str, Path]:
    """The files with this ending in a folder and below it, by their path without it, without what is hidden."""
    found = {file.relative_to(folder): file for file in sorted(folder.rglob(f"*{ending}"))}
    is_hidden = {name: any(part.startswith(".") for part in name.parts) for name in found}
    return {name.with_suffix("").as_posix(): file for name, file in found.items() if not is_hidden[name]}


def _without_images(masks: Sequence[Path], images: Path) -> UserError:
    first, *others = masks
    which = f"; nor for {', '.join(each.name for each in others[:10])}" if others else ""
    more = f" and {len(others) - 10} more" if len(others) > 10 else ""
    return UserError(
        f"{first} is a mask without an image: {images} has no picture called {first.stem!r}{which}{more}. Add the "
        "image, or delete the mask."
    )


def _fraction(id: str) -> float:
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") / 2**64

"""The PASCAL VOC layout: JPEGImages, SegmentationClass, ImageSets/Segmentation/SPLIT.txt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.errors import UserError, closest

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """An image with its labels as they lie on disk: RGB bytes (H, W, 3), class indices (H, W), and its id."""

    image: Bytes
    mask: Bytes
    id: str


class Split:
    """The examples of one split, read on demand.

    Args:
        ids: names of the examples.
        images: the path of each image.
        masks: the path of each mask.
        num_classes: mask values from this on, other than 255, are an error.
    """

    def __init__(self, ids: list[str], images: list[Path], masks: list[Path], num_classes: int) -> None:
        self.ids, self.images, self.masks, self.num_classes = ids, images, masks, num_classes

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Read one example.

        Raises:
            UserError: a file cannot be read, image and mask differ in size, or a mask value is no class.
        """
        image, mask = read_image(self.images[index]), read_mask(self.masks[index])
        if image.shape[:2] != mask.shape:
            raise UserError(
                f"{self.images[index]} is {image.shape[1]}x{image.shape[0]} but its mask {self.masks[index].name} is "
                f"{mask.shape[1]}x{mask.shape[0]}: a mask has the size of its image."
            )
        highest = int(mask[mask != VOID].max(initial=0))
        if highest >= self.num_classes:
            raise UserError(
                f"{self.masks[index]} has the value {highest}, but there are {self.num_classes} classes (0 to "
                f"{self.num_classes - 1}, and 255 for void): set data.classes=FILE with one class name a line."
            )
        return Example(image, mask, self.ids[index])


def read_image(path: Path) -> Bytes:
    """Read a picture as RGB bytes (H, W, 3); raises UserError naming a file that cannot be read."""
    try:
        with Image.open(path) as file:
            return np.array(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace it or take it off the list.") from error


def read_mask(path: Path) -> Bytes:
    """Read an index PNG as class indices (H, W), never as colours; raises UserError naming the file otherwise."""
    try:
        with Image.open(path) as file:
            if file.mode not in ("P", "L"):
                raise UserError(
                    f"{path} is a picture of mode {file.mode}: masks are single-channel PNGs (palette or grey) whose "
                    "pixel values are class indices."
                )
            return np.array(file)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a mask ({error}): replace it or take it off the list.") from error


class VOC:
    """A data set in the PASCAL VOC layout.

    Args:
        root: the folder that holds JPEGImages, SegmentationClass and ImageSets/Segmentation.
        train: name of the list to train on, without ``.txt``.
        val: name of the list to evaluate on.
        classes: a class-list file (see :meth:`LabelSet.from_file`); PASCAL VOC's 21 classes unless given.

    Attributes:
        labels: the class names and the palette.
    """

    def __init__(
        self, root: str | Path, train: str = "train", val: str = "val", classes: str | Path | None = None
    ) -> None:
        self.root = Path(root).expanduser()
        self.labels = LabelSet.voc() if classes is None else LabelSet.from_file(classes)
        self._lists = {"train": train, "val": val}

    def split(self, name: str) -> Split:
        """The examples of ``"train"`` or ``"val"``.

        Raises:
            UserError: the root, the list or a listed file does not exist, the list is empty or names a file twice.
        """
        lists = self.root / "ImageSets" / "Segmentation"
        path = lists / f"{self._lists[name]}.txt"
        if not self.root.is_dir():
            raise UserError(f"data.root={str(self.root)!r} is not a folder: give the one that holds JPEGImages.")
        if not path.is_file():
            there = sorted(file.stem for file in lists.glob("*.txt"))
            hint = f"choose data.{name}= one of {', '.join(there)}." if there else "no list (.txt) lies there."
            raise UserError(f"{path} does not exist: {hint}{closest(path.stem, there)}")
        ids = path.read_text(encoding="utf-8").split()
        if not ids:
            raise UserError(f"{path} is empty: it holds one image id a line.")
        if len(set(ids)) < len(ids):
            twice = next(id for i, id in enumerate(ids) if id in ids[:i])
            raise UserError(f"{path} names {twice!r} twice: each image once.")
        images = [self.root / "JPEGImages" / f"{id}.jpg" for id in ids]
        masks = [self.root / "SegmentationClass" / f"{id}.png" for id in ids]
        missing = [file for file in (*images, *masks) if not file.is_file()]
        if missing:
            more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
            raise UserError(f"{path} lists {missing[0].stem!r}, but {missing[0]}{more} do(es) not exist.")
        return Split(ids, images, masks, len(self.labels))

"""Split of a data set: a list of examples, each an image and a mask on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeplab_lit.data.decoded_cache import DecodedCache
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.mask_files import INDICES, MaskCoding, read_mask
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class Example:
    """An image, RGB bytes (H, W, 3), and its mask, class indices (H, W), as they are on disk, and their id."""

    image: Bytes
    mask: Bytes
    id: str


class Split:
    """The examples of one split, read on demand.

    Args:
        ids: the id of each example.
        images: the path of each image.
        masks: the path of each mask.
        num_classes: the number of classes; a mask value from this number on, other than void, is an error.
        listed_in: the file that lists the examples, for messages.
        coding: how the pixels of masks stand for classes.

    Attributes:
        decoded: the cache of decoded examples; None: each read decodes the files.
    """

    def __init__(
        self,
        ids: Sequence[str],
        images: Sequence[Path],
        masks: Sequence[Path],
        num_classes: int,
        listed_in: str | Path = "the list",
        coding: MaskCoding = INDICES,
    ) -> None:
        self.ids, self.images, self.masks = list(ids), list(images), list(masks)
        self.num_classes, self.listed_in, self.coding = num_classes, listed_in, coding
        self.decoded: DecodedCache | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Read one example.

        Raises:
            UserError: a file cannot be read, image and mask differ in size, or a mask value is no class.
        """
        pair = (self.images[index], self.masks[index])
        if self.decoded and (kept := self.decoded.get(pair)):
            return Example(*kept, self.ids[index])
        image, mask = self._read(index)
        if self.decoded:
            self.decoded.put(pair, image, mask)
        return Example(image, mask, self.ids[index])

    def _read(self, index: int) -> tuple[Bytes, Bytes]:
        mask = read_mask(self.masks[index], self.coding)
        image = read_image(self.images[index], (mask.shape[0], mask.shape[1]))
        if image.shape[:2] != mask.shape:
            raise UserError(
                f"{self.images[index]} is {image.shape[1]}x{image.shape[0]} but its mask {self.masks[index].name} is "
                f"{mask.shape[1]}x{mask.shape[0]}: a mask has the size of its image."
            )
        highest = int((mask + np.uint8(1)).max()) - 1  # void plus 1 wraps round to 0
        if highest >= self.num_classes:
            raise UserError(
                f"{self.masks[index]} has the value {highest}, but there are {self.num_classes} classes (0 to "
                f"{self.num_classes - 1}, and 255 for void): set data.classes=FILE with one class name a line."
            )
        return image, mask

    def missing(self) -> list[Path]:
        """The listed files that do not exist; each folder is scanned once."""
        seen: dict[Path, set[str]] = {}
        absent = []
        for file in (*self.images, *self.masks):
            if file.parent not in seen:
                seen[file.parent] = {entry.name for entry in os.scandir(file.parent)} if file.parent.is_dir() else set()
            if file.name not in seen[file.parent]:
                absent.append(file)
        return absent

    def checked(self) -> Split:
        """This split itself, after a check that every listed file exists.

        Raises:
            UserError: a file does not exist; the message names the first.
        """
        if absent := self.missing():
            rest = f" and {len(absent) - 1} more files do" if len(absent) > 1 else " does"
            both = [*self.images, *self.masks]
            id = self.ids[both.index(absent[0]) % len(self)]
            raise UserError(
                f"{self.listed_in} lists {id!r}, but {absent[0]}{rest} not exist: add what is missing or take it off "
                "the list."
            )
        return self

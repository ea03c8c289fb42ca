"""Split of a data set: a list of examples, each an image and a mask on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.decoded_cache import DecodedCache
from deeplab_lit.data.mask_files import INDICES, MaskCoding, read_mask
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.data.pixel_weights import read_pixel_weights
from deeplab_lit.utils.arrays import Bytes, Floats, Pixels
from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class Example:
    """An image (H, W, C), such as RGB bytes, and its mask, class indices (H, W), as they are on disk, and their id.

    ``weights``, float32 (H, W), are those of its pixels in the loss; None: equal weights.
    """

    image: Pixels
    mask: Bytes
    id: str
    weights: Floats | None = None


class Split:
    """The examples of one split, read on demand.

    Args:
        ids: the id of each example.
        images: the path of each image.
        masks: the path of each mask.
        num_classes: the number of classes; a mask value from this number on, other than void, is an error.
        listed_in: the file that lists the examples, for messages.
        coding: how the pixels of masks stand for classes.
        pixels: the format of the images.

    Attributes:
        decoded: the cache of decoded examples; None: each read decodes the files.
        weights: the path of the weights of each example's pixels, which no cache holds; None: equal weights.
    """

    def __init__(
        self,
        ids: Sequence[str],
        images: Sequence[Path],
        masks: Sequence[Path],
        num_classes: int,
        listed_in: str | Path = "the list",
        coding: MaskCoding = INDICES,
        pixels: PixelFormat = RGB,
    ) -> None:
        self.ids, self.images, self.masks = list(ids), list(images), list(masks)
        self.num_classes, self.listed_in, self.coding, self.pixels = num_classes, listed_in, coding, pixels
        self.decoded: DecodedCache | None = None
        self.weights: list[Path] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Read one example.

        Raises:
            UserError: a file cannot be read, image and mask differ in size, or a mask value is no class.
        """
        image, mask = self._image_and_mask(index)
        if self.weights is None:
            return Example(image, mask, self.ids[index])
        height, width = mask.shape
        return Example(image, mask, self.ids[index], read_pixel_weights(self.weights[index], (height, width)))

    def _image_and_mask(self, index: int) -> tuple[Pixels, Bytes]:
        pair = (self.images[index], self.masks[index])
        if self.decoded and (kept := self.decoded.get(pair)):
            return kept
        image, mask = self._read(index)
        if self.decoded:
            self.decoded.put(pair, image, mask)
        return image, mask

    def _read(self, index: int) -> tuple[Pixels, Bytes]:
        mask = read_mask(self.masks[index], self.coding)
        image = read_pixels(self.images[index], self.pixels, (mask.shape[0], mask.shape[1]))
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
        """The listed files that do not exist."""
        return _absent([*self.images, *self.masks])

    def weigh(self, folder: Path) -> None:
        """Take the weights of the pixels of each example from ``folder``/ID.png.

        Raises:
            UserError: a file does not exist.
        """
        self.weights = [folder / f"{id}.png" for id in self.ids]
        if absent := _absent(self.weights):
            raise UserError(
                f"{absent[0]} does not exist ({len(absent)} of {len(self)} such): loss.pixel_weights is a folder with "
                "a grey ID.png for each training image."
            )

    def checked(self, mend: str = "add what is missing or take it off the list") -> Split:
        """This split itself, after a check that every listed file exists.

        Args:
            mend: what the message says to do about a missing file.

        Raises:
            UserError: a file does not exist; the message names the first.
        """
        if absent := self.missing():
            rest = f" and {len(absent) - 1} more files do" if len(absent) > 1 else " does"
            both = [*self.images, *self.masks]
            id = self.ids[both.index(absent[0]) % len(self)]
            raise UserError(f"{self.listed_in} lists {id!r}, but {absent[0]}{rest} not exist: {mend}.")
        return self


def _absent(files: Sequence[Path]) -> list[Path]:
    """The files that do not exist; each folder is scanned once."""
    seen: dict[Path, set[str]] = {}
    absent = []
    for file in files:
        if file.parent not in seen:
            seen[file.parent] = {entry.name for entry in os.scandir(file.parent)} if file.parent.is_dir() else set()
        if file.name not in seen[file.parent]:
            absent.append(file)
    return absent

"""Examples on disk: an image and its mask, and the splits that list them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from deeplab_lit.data.labels import VOID
from deeplab_lit.errors import UserError
from deeplab_lit.files import save_image

Bytes = NDArray[np.uint8]
_ORIENTATION = 0x0112  # EXIF tag
_TURNED = (5, 6, 7, 8)  # its values that exchange height and width


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
        listed_in: what named the examples, for messages.
    """

    def __init__(
        self,
        ids: Sequence[str],
        images: Sequence[Path],
        masks: Sequence[Path],
        num_classes: int,
        listed_in: str | Path = "the list",
    ) -> None:
        self.ids, self.images, self.masks = list(ids), list(images), list(masks)
        self.num_classes, self.listed_in = num_classes, listed_in

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Read one example.

        Raises:
            UserError: a file cannot be read, image and mask differ in size, or a mask value is no class.
        """
        mask = read_mask(self.masks[index])
        image = read_image(self.images[index], (mask.shape[0], mask.shape[1]))
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

    def missing(self) -> list[Path]:
        """Listed files that do not exist, each folder being listed once."""
        seen: dict[Path, set[str]] = {}
        absent = []
        for file in (*self.images, *self.masks):
            if file.parent not in seen:
                seen[file.parent] = {entry.name for entry in os.scandir(file.parent)} if file.parent.is_dir() else set()
            if file.name not in seen[file.parent]:
                absent.append(file)
        return absent

    def checked(self) -> Split:
        """This split, if every file that it lists exists.

        Raises:
            UserError: naming the first that does not.
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


def read_image(path: Path, shape: tuple[int, int] | None = None) -> Bytes:
    """Read a picture as RGB bytes (H, W, 3): greyscale is repeated, transparency dropped, CMYK converted.

    Args:
        path: the file.
        shape: (height, width) of its mask. A picture that its EXIF tag turns is turned only if that gives this shape,
            since masks are drawn on either form; without a mask it is turned as viewers show it.

    Raises:
        UserError: the file cannot be read, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                raise UserError(
                    f"{path} is a picture of mode {file.mode}, with more than 8 bits a channel: convert it to 8 bits."
                )
            if _is_to_be_turned(file, shape):
                return np.array(ImageOps.exif_transpose(file).convert("RGB"))
            return np.array(file.convert("RGB"))
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace it or take it off the list.") from error


def _is_to_be_turned(file: Image.Image, shape: tuple[int, int] | None) -> bool:
    if shape is None:
        return True
    turned = file.getexif().get(_ORIENTATION) in _TURNED
    return turned and (file.height, file.width) != shape and (file.width, file.height) == shape


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


def write_mask(mask: Bytes, palette: Bytes, path: Path) -> None:
    """Write class indices (H, W) as an index PNG with a palette (256, 3)."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette.tobytes())
    save_image(picture, path, format="PNG", optimize=False)

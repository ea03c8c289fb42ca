"""Reading and writing of images and of masks, whose pixels are class indices."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_AVIF = ("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()  # younger Pillows have it
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", *_AVIF, "BMP", "GIF", "TGA", "PPM", "JPEG2000")
"""What is read, by Pillow's names; others, such as PostScript, would be handed to programs of their own."""

_ORIENTATION = 0x0112  # EXIF tag
_TURNED = (5, 6, 7, 8)  # its values that exchange height and width


def picture_endings() -> set[str]:
    """The endings of files in these formats, in lower case with their dots."""
    Image.init()
    # several JPEGs in one file, of which the first is the picture
    return {ending for ending, kind in Image.EXTENSION.items() if kind in (*FORMATS, "MPO")}


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
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            if file.mode.startswith(("I", "F")):
                raise UserError(
                    f"{path} is a picture of mode {file.mode}, with more than 8 bits a channel: convert it to 8 bits."
                )
            return decode(file, content, shape)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace it or take it off the list.") from error


def decode(file: Image.Image, content: bytes, shape: tuple[int, int] | None = None) -> Bytes:
    """RGB bytes (H, W, 3) of a picture that Pillow has opened, whose file is ``content``; see :func:`read_image`.

    JPEGs as cameras write them are left to libjpeg-turbo, which gives the same bytes in less than half of the time.
    """
    if _is_to_be_turned(file, shape):
        file = ImageOps.exif_transpose(file)  # and with it, no JPEG any more
    if file.format == "JPEG" and file.mode in ("RGB", "L"):
        # the slightest oddity, which many files on the web have, is an error here: Pillow knows which of them are
        with suppress(ValueError):
            return simplejpeg.decode_jpeg(content, "RGB")
    return np.array(file.convert("RGB"))


def _is_to_be_turned(file: Image.Image, shape: tuple[int, int] | None) -> bool:
    orientation = file.getexif().get(_ORIENTATION, 1)
    if shape is None:
        return orientation != 1
    return orientation in _TURNED and (file.height, file.width) != shape and (file.width, file.height) == shape


def read_mask(path: Path) -> Bytes:
    """Read an index PNG as class indices (H, W), never as colours; raises UserError naming the file otherwise."""
    try:
        with Image.open(path, formats=FORMATS) as file:
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


def save_image(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write an image file; Pillow by itself is silent about a disk that took a part of it alone."""
    whole = io.BytesIO()
    picture.save(whole, **options)
    path.write_bytes(whole.getvalue())


def write_mask(mask: Bytes, palette: Bytes, path: Path) -> None:
    """Write class indices (H, W) as an index PNG with a palette (256, 3)."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette.tobytes())
    save_image(picture, path, format="PNG", optimize=False)

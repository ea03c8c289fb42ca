"""Image files: reading and writing of images, and of masks whose pixels are class indices."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_AVIF = ("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()  # newer versions of Pillow have it
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", *_AVIF, "BMP", "GIF", "TGA", "PPM", "JPEG2000")
"""The formats that are read, by Pillow's names. Pillow would start another program for others, such as PostScript."""

_ORIENTATION = 0x0112  # the EXIF tag of the orientation
_TURNED = (5, 6, 7, 8)  # orientations that exchange height and width


def picture_endings() -> set[str]:
    """The file endings of :data:`FORMATS`, in lower case with their dots."""
    Image.init()
    # an MPO file holds several JPEGs, of which the first is the picture
    return {ending for ending, kind in Image.EXTENSION.items() if kind in (*FORMATS, "MPO")}


def read_image(path: Path, shape: tuple[int, int] | None = None) -> Bytes:
    """Read an image file as RGB bytes (H, W, 3): greyscale is repeated, transparency dropped, CMYK converted.

    Args:
        path: the file.
        shape: (height, width) of its mask. Masks are drawn on either orientation, so the image is turned by its EXIF
            tag only if it has this shape afterwards and not before. None: the image is turned by its EXIF tag.

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
        raise UserError(
            f"{path} cannot be read as an image ({reason(error)}): replace it or take it off the list."
        ) from error


def decode(file: Image.Image, content: bytes, shape: tuple[int, int] | None = None) -> Bytes:
    """RGB bytes (H, W, 3) of an image that Pillow has opened; ``content`` is its file. See :func:`read_image`.

    libjpeg-turbo decodes RGB and greyscale JPEGs, which gives the same bytes as Pillow in less than half of the time.
    """
    if _is_to_be_turned(file, shape):
        file = ImageOps.exif_transpose(file)  # the turned image has no format, so that Pillow decodes it
    if file.format == "JPEG" and file.mode in ("RGB", "L"):
        # simplejpeg refuses slight irregularities, common on the web; Pillow then reads or refuses the file
        with suppress(ValueError):
            return simplejpeg.decode_jpeg(content, "RGB")
    return np.array(file.convert("RGB"))


def _is_to_be_turned(file: Image.Image, shape: tuple[int, int] | None) -> bool:
    orientation = file.getexif().get(_ORIENTATION, 1)
    if shape is None:
        return orientation != 1
    return orientation in _TURNED and (file.height, file.width) != shape and (file.width, file.height) == shape


def read_mask(path: Path) -> Bytes:
    """Read an index PNG as class indices, uint8 (H, W), never as colours.

    Raises:
        UserError: the file cannot be read, or has more than one channel.
    """
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


def reason(error: Exception) -> str:
    """What is wrong with an image file; Pillow's message on an unknown format names an object in memory."""
    return "it begins as no image format does" if isinstance(error, UnidentifiedImageError) else str(error)


def save_image(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write an image file from memory, since Pillow raises no error when the disk takes only a part of the file."""
    whole = io.BytesIO()
    picture.save(whole, **options)
    path.write_bytes(whole.getvalue())


def write_mask(mask: Bytes, palette: Bytes, path: Path) -> None:
    """Write class indices (H, W) as an index PNG with a palette (256, 3)."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette.tobytes())
    save_image(picture, path, format="PNG", optimize=False)

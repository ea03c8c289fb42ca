"""Image files: reading and writing of images, and writing of masks."""

from __future__ import annotations

import io
from collections.abc import Iterator
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


def pictures_below(folder: Path, arrays: bool = False) -> Iterator[Path]:
    """The image files in a folder and all folders below it, in the order of their paths, without what is hidden.

    With ``arrays``, .npy files are among them.
    """
    endings = picture_endings() | ({".npy"} if arrays else set())
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in endings and not hidden:
            yield file


def read_image(path: Path, shape: tuple[int, int] | None = None) -> Bytes:
    """Read an image file of any kind as RGB bytes (H, W, 3).

    Greyscale is repeated, transparency dropped, CMYK converted, and 16 bits a channel are reduced to 8.

    Args:
        path: the file.
        shape: (height, width) of its mask. Masks are drawn on either orientation, so the image is turned by its EXIF
            tag only if it has this shape afterwards and not before. None: the image is turned by its EXIF tag.

    Raises:
        UserError: the file cannot be read, or holds fractions or more than 16 bits a channel, whose range is unknown.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            return _decoded(file, content, path, shape)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # OpenCV reads what Pillow does not know or finds too large; it would read broken files in part, so it gets none
        other = isinstance(error, (UnidentifiedImageError, Image.DecompressionBombError))
        found = _read_with_opencv(content) if other else None
        if found is None:
            raise UserError(
                f"{path} cannot be read as an image ({reason(error)}): replace it or leave it out."
            ) from error
        return found


def _decoded(file: Image.Image, content: bytes, path: Path, shape: tuple[int, int] | None) -> Bytes:
    """RGB bytes of an image that Pillow has opened, whose file is ``content``.

    libjpeg-turbo decodes RGB and greyscale JPEGs, which gives the same bytes as Pillow in less than half of the time.
    """
    if is_to_be_turned(file, shape):
        file = ImageOps.exif_transpose(file)  # the turned image has no format, so that Pillow decodes it
    if file.format == "JPEG" and file.mode in ("RGB", "L"):
        # simplejpeg refuses slight irregularities, common on the web; Pillow then reads or refuses the file
        with suppress(ValueError):
            return simplejpeg.decode_jpeg(content, "RGB")
    return rgb(file, path)


def rgb(picture: Image.Image, name: object) -> Bytes:
    """RGB bytes (H, W, 3) of a Pillow image; ``name`` is what messages call it.

    Raises:
        UserError: the image holds fractions or more than 16 bits a channel.
    """
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{name} has more than 16 bits a channel: convert it to 8 or 16 bits.")
        return np.repeat((values // 257).astype(np.uint8)[..., None], 3, 2)
    if picture.mode.startswith("F"):
        raise UserError(f"{name} holds fractions, whose black and white are not known: convert it to 8 bits.")
    return np.array(picture.convert("RGB"))


def _read_with_opencv(content: bytes) -> Bytes | None:
    """RGB bytes (H, W, 3) of an image such as a TIFF with three 16-bit channels; None if OpenCV cannot read it."""
    import cv2

    try:
        found = (
            cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if content else None
        )
    except cv2.error:
        return None
    if found is None or found.dtype not in (np.uint8, np.uint16):
        return None
    return np.ascontiguousarray((found // 257 if found.dtype == np.uint16 else found)[..., ::-1].astype(np.uint8))


def is_to_be_turned(file: Image.Image, shape: tuple[int, int] | None) -> bool:
    """Whether an image is turned by its EXIF tag; ``shape`` is that of its mask, as for :func:`read_image`."""
    orientation = file.getexif().get(_ORIENTATION, 1)
    if shape is None:
        return orientation != 1
    return orientation in _TURNED and (file.height, file.width) != shape and (file.width, file.height) == shape


def image_sizes(path: Path) -> list[tuple[int, int]]:
    """(height, width) of an image file as it is and as its EXIF tag turns it; none if its header cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as file:
            sizes = [(file.height, file.width)]
            if file.getexif().get(_ORIENTATION, 1) in _TURNED:
                sizes.append((file.width, file.height))
            return sizes
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # OpenCV may read it
        return []


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

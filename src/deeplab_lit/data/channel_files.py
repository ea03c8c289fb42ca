"""Image files with any number of channels of 8 or 16 bits, whose values are read as they are."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from deeplab_lit.data.image_files import FORMATS, is_to_be_turned, read_image, reason
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.utils.arrays import Pixels
from deeplab_lit.utils.errors import UserError, one_line

_NPY, _PNG = b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # and BigTIFF
_TIFF_NEEDED = "pip install 'deeplab_lit[tiff]', or convert such files to .npy"
_PNG_CHANNELS = {0: [0], 2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}  # of OpenCV's BGRA, by the type of colour


def read_pixels(path: Path, pixels: PixelFormat, shape: tuple[int, int] | None = None) -> Pixels:
    """Read an image file in a format, (H, W, C) of uint8 or uint16.

    RGB bytes are read by :func:`read_image`, which converts. In every other format, the file has the format itself: a
    PNG, TIFF or other image file, or a .npy file with an array (H, W, C) or (H, W).

    Args:
        path: the file.
        pixels: the format.
        shape: (height, width) of its mask; see :func:`read_image`.

    Raises:
        UserError: the file cannot be read, or has another format.
    """
    if pixels == RGB:
        return read_image(path, shape)
    try:
        image = _read(path, pixels, shape)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except Exception as error:  # damaged files make tifffile raise errors of many types
        why = reason(error) if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise UserError(f"{path} cannot be read as an image ({why}): replace it or leave it out.") from error
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.dtype.kind != "u" or image.dtype.itemsize > 2 or not image.size:
        raise UserError(f"{path} holds {image.dtype} {image.shape}: an image is (H, W, C) of uint8 or uint16.")
    _check_format(path, PixelFormat(image.shape[2], 8 * image.dtype.itemsize), pixels)
    return np.ascontiguousarray(image, pixels.dtype)  # in the byte order of this machine


def _check_format(path: Path, found: PixelFormat, pixels: PixelFormat) -> None:
    if found != pixels:
        raise UserError(
            f"{path} has {found} instead of {pixels}: type data.channels={found.channels} data.bits={found.bits} if "
            "all images have them, or else convert it or leave it out."
        )


def _read(path: Path, pixels: PixelFormat, shape: tuple[int, int] | None) -> NDArray[Any]:
    with path.open("rb") as file:
        first = file.read(26)
    if first.startswith(_NPY):
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))  # mapped, it is not larger than its file
    if first.startswith(_TIFF):
        return _of_tiff(path, pixels)
    content = path.read_bytes()
    if first.startswith(_PNG) and len(first) == 26 and first[24] == 16:
        return _of_deep_png(content, first[25])
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
        if file.mode in ("P", "PA", "CMYK", "YCbCr", "1"):  # whose numbers are no values of channels
            grey = file.mode == "1"
            return np.array(file.convert("L" if grey else "RGB"))
        return np.array(ImageOps.exif_transpose(file) if is_to_be_turned(file, shape) else file)


def _of_deep_png(content: bytes, colours: int) -> NDArray[Any]:
    """A PNG of 16 bits, which Pillow would reduce to 8."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as file:
        file.verify()  # OpenCV reads damaged files in part
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError("OpenCV does not decode it")
    return found if found.ndim == 2 else found[..., _PNG_CHANNELS[colours]]


def _of_tiff(path: Path, pixels: PixelFormat) -> NDArray[Any]:
    try:
        import tifffile
    except ImportError as error:
        raise UserError(f"{path} needs the package tifffile: {_TIFF_NEEDED}.") from error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it raises is told
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            return _of_pages(file, path, pixels)
        page: Any = file.pages[0]
        _check_format(path, PixelFormat(page.samplesperpixel, int(page.bitspersample)), pixels)
        found = _whole(page, path, pixels)
        return np.moveaxis(found, 0, -1) if page.planarconfig == 2 and page.samplesperpixel > 1 else found


def _of_pages(file: Any, path: Path, pixels: PixelFormat) -> NDArray[Any]:
    """A TIFF with a page for each channel, or for each row, as tifffile writes arrays (H, W, C) of its own accord."""
    shapes = [each.shape for each in file.series]
    if len(shapes) == 1 and len(shapes[0]) == 3 and pixels.channels in (shapes[0][0], shapes[0][2]):
        found = _whole(file.series[0], path, pixels)
        return found if found.shape[2] == pixels.channels else np.moveaxis(found, 0, -1)
    raise UserError(
        f"{path} has {len(file.pages)} pages, which are not {pixels.channels} channels: a TIFF has its channels in one "
        "page, or a page for each."
    )


def _whole(part: Any, path: Path, pixels: PixelFormat) -> NDArray[Any]:
    """The array of a page or of a series of pages, if it is not too large for memory."""
    if part.size > 2 * (Image.MAX_IMAGE_PIXELS or np.inf) * pixels.channels:  # as Pillow has it
        raise UserError(f"{path} has {' x '.join(map(str, part.shape))} values, which is too large: cut it.")
    try:
        return part.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise UserError(f"{path} needs the package imagecodecs for its compression: {_TIFF_NEEDED}.") from error

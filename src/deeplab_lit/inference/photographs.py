"""Photographs: image files of any kind as RGB bytes, and the image files that a user names."""

from __future__ import annotations

import glob
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from deeplab_lit.data.image_files import FORMATS, decode, picture_endings, reason
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError

_DEEP = ("I", "F")  # modes with more than 8 bits a channel


def read_photograph(path: Path) -> Bytes:
    """Read an image file of any kind as RGB bytes (H, W, 3), turned as its EXIF tag says.

    Greyscale is repeated, transparency dropped, CMYK converted, and 16 bits a channel are reduced to 8.

    Raises:
        UserError: the file cannot be read, or holds fractions or more than 16 bits a channel, whose range is unknown.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            if file.mode.startswith(_DEEP):
                return _rgb(ImageOps.exif_transpose(file), path)
            return decode(file, content)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # OpenCV reads what Pillow does not know or finds too large; it would read broken files in part, so it gets none
        other = isinstance(error, (UnidentifiedImageError, Image.DecompressionBombError))
        found = _read_with_opencv(path) if other else None
        if found is None:
            raise UserError(f"{path} cannot be read as an image ({reason(error)}).") from error
        return found


def _rgb(picture: Image.Image, name: object) -> Bytes:
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{name} has more than 16 bits a channel: convert it to 8 or 16 bits.")
        return np.repeat((values // 257).astype(np.uint8)[..., None], 3, 2)
    if picture.mode.startswith("F"):
        raise UserError(f"{name} holds fractions, whose black and white are not known: convert it to 8 bits.")
    return np.array(picture.convert("RGB"))


def _read_with_opencv(path: Path) -> Bytes | None:
    """RGB bytes (H, W, 3) of an image such as a TIFF with three 16-bit channels; None if OpenCV cannot read it."""
    import cv2

    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        found = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if len(content) else None
    except (OSError, cv2.error):
        return None
    if found is None or found.dtype not in (np.uint8, np.uint16):
        return None
    return np.ascontiguousarray((found // 257 if found.dtype == np.uint16 else found)[..., ::-1].astype(np.uint8))


def as_rgb(image: Bytes | Image.Image | str | Path) -> Bytes:
    """RGB bytes (H, W, 3) of such an array, a Pillow image or an image file.

    Raises:
        UserError: ``image`` is anything else, or the file cannot be read.
    """
    if isinstance(image, (str, Path)):
        return read_photograph(Path(image).expanduser())
    if isinstance(image, Image.Image):
        return _rgb(ImageOps.exif_transpose(image), "the image")
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(
            f"the image is {image.dtype} {image.shape}: give RGB bytes, uint8 (H, W, 3), a Pillow image or a path."
        )
    return image


def find_images(given: str) -> dict[str, Path]:
    """The image files of a file name, a folder or a pattern, by their names without ending.

    A folder is searched with all its subfolders but hidden ones. An image in a subfolder has a name such as ``"a/b"``.

    Raises:
        UserError: there is no image, or two images would have the same name.
    """
    path = Path(given).expanduser()
    if path.is_file():
        found = {path.stem: [path]}
    else:
        if path.is_dir():
            endings = picture_endings()
            files = [
                file
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in endings
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            ]
        else:
            files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]  # noqa: PTH207
            files = [file for file in files if not file.name.startswith(".")]
        found = {}
        for file in files:
            name = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else file.stem
            found.setdefault(name, []).append(file)
    if not found:
        raise UserError(
            f"images={given}: there is no picture; give a file, a folder that holds some, or a pattern in quotes such "
            "as 'folder/*.jpg'."
        )
    for name, files in found.items():
        if len(files) > 1:
            raise UserError(f"{files[0]} and {files[1]} would both be written as {name}.png: rename one of them.")
    return {name: files[0] for name, files in found.items()}

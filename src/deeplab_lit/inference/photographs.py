"""Photographs: images of any kind in the format that a network takes, and the image files that a user names."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.image_files import pictures_below, rgb
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.utils.arrays import Pixels
from deeplab_lit.utils.errors import UserError


def as_pixels(image: Pixels | Image.Image | str | Path, pixels: PixelFormat = RGB) -> Pixels:
    """An image (H, W, C) in a format, of such an array, a Pillow image or an image file.

    Raises:
        UserError: ``image`` is anything else, or the file cannot be read.
    """
    if isinstance(image, (str, Path)):
        return read_pixels(Path(image).expanduser(), pixels)
    if isinstance(image, Image.Image) and pixels == RGB:
        return rgb(ImageOps.exif_transpose(image), "the image")
    values = np.asarray(image)
    values = values[..., None] if values.ndim == 2 and pixels.channels == 1 else values
    if values.dtype != pixels.dtype or values.ndim != 3 or values.shape[2] != pixels.channels or not values.size:
        kind = "RGB bytes, " if pixels == RGB else ""
        raise UserError(
            f"the image is {values.dtype} {values.shape}: give {kind}{np.dtype(pixels.dtype).name} (H, W, "
            f"{pixels.channels}), a Pillow image or a path."
        )
    return values


def find_images(given: str) -> dict[str, Path]:
    """The image files of a file name, a folder or a pattern, by their names without ending.

    A folder is searched with all its subfolders but hidden ones, for .npy files if it holds no pictures. An image in a
    subfolder has a name such as ``"a/b"``.

    Raises:
        UserError: there is no image, or two images would have the same name.
    """
    path = Path(given).expanduser()
    if path.is_file():
        found = {path.stem: [path]}
    else:
        if path.is_dir():
            files = list(pictures_below(path)) or list(pictures_below(path, arrays=True))
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


def images_of(files: Mapping[str, Path], given: str) -> dict[str, Path]:
    """The image of each of some files, by their names, as :func:`find_images` finds and names them.

    Raises:
        UserError: a file has no image; or as :func:`find_images`.
    """
    images = find_images(given)
    if alone := sorted(files.keys() - images.keys()):
        raise UserError(f"{files[alone[0]]} has no image of that name in {given} ({len(alone)} such in all).")
    return {name: images[name] for name in files}

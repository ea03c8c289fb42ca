"""VOC server packages: results/VOC2012/Segmentation/compN_test_cls/ID.png in a .tar.gz."""

from __future__ import annotations

import io
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_lit.data.image_files import FORMATS
from deeplab_lit.data.labels import LabelSet, voc_colour
from deeplab_lit.inference.output_folder import Outputs
from deeplab_lit.inference.server_package import UNREADABLE, Images, cannot_be_read, refuse_unfit, size_of
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing


def _folder(comp: int) -> str:
    return f"results/VOC2012/Segmentation/comp{comp}_test_cls"


def pack(out: Outputs, images: Images, file: Path, comp: int) -> None:
    """Pack the masks of ``images`` into the .tar.gz ``file`` for the competition ``comp``, 5 or 6."""
    with replacing(file) as temporary, tarfile.open(temporary, "w:gz", compresslevel=6) as package:
        for name in images:
            package.add(out.path("masks", name), f"{_folder(comp)}/{name}.png")


def validate(package: Path, images: Images, labels: LabelSet, comp: int) -> None:
    """Check a package for everything that the server would refuse.

    Args:
        package: the .tar.gz.
        images: the images that the package must label, by id.
        labels: the label set whose indices may occur.
        comp: the competition, 5 or 6.

    Raises:
        UserError: the message names the first faults: files at a wrong place, missing, superfluous or repeated ids,
            members that are no files, and masks that are no palette PNG or have another palette, another size than the
            image, or indices of no class.
    """
    faults: list[str] = []
    wanted = {f"{_folder(comp)}/{name}.png": path for name, path in images.items()}
    palette = [value for index in range(256) for value in voc_colour(index)]
    seen = set()
    try:
        with tarfile.open(package, "r:gz") as file:
            for member in file:
                if member.isdir():
                    continue
                if member.name in seen:
                    faults.append(f"{member.name} is there twice")
                    continue
                seen.add(member.name)
                if member.name not in wanted:
                    faults.append(f"{member.name} belongs to no image of the list")
                    continue
                content = file.extractfile(member) if member.isfile() else None
                if content is None:
                    faults.append(f"{member.name} is a link or a device, not a file")
                    continue
                faults += [
                    f"{member.name} {fault}"
                    for fault in _faults(content.read(), wanted[member.name], len(labels), palette)
                ]
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"{package} cannot be read as a .tar.gz package: {error}") from error
    faults += [f"{name} is missing" for name in wanted if name not in seen]
    refuse_unfit(package, faults)


def _faults(content: bytes, image: Path, classes: int, palette: list[int]) -> list[str]:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as mask:
            if mask.format != "PNG" or mask.mode != "P":
                return [f"is a {mask.format} of mode {mask.mode}, not a PNG with a palette"]
            given = mask.getpalette() or []
            values, size = np.array(mask), mask.size
    except UNREADABLE as error:
        return [cannot_be_read(error)]
    found = []
    used = [value for value in np.unique(values) if value >= classes]
    if used:
        found.append(f"has the index {used[0]}, classes are 0 to {classes - 1}")
    if given[: 3 * classes] != palette[: 3 * classes]:
        found.append("has another palette than VOC's")
    try:
        expected = size_of(image)
    except UNREADABLE as error:
        return [*found, f"has no size to be compared with: {image} {cannot_be_read(error)}"]
    if size != expected:
        found.append(f"is {size[0]}x{size[1]}, its image {expected[0]}x{expected[1]}")
    return found

"""Cityscapes server packages: CITY_SEQ_FRAME.png in a .zip, one for each image, whose pixels are label ids."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from deeplab_lit.data.cityscapes import CITYSCAPES, LABEL_IDS, id_of
from deeplab_lit.data.image_files import FORMATS
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.inference.output_folder import Outputs
from deeplab_lit.inference.server_package import UNREADABLE, Images, cannot_be_read, refuse_unfit, size_of
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing

SIZE = (2048, 1024)
"""Width and height in pixels of each mask that the server takes."""

_NAMES = "the server finds a mask by CITY_SEQ_FRAME, such as berlin_000000_000019"


def check_images(images: Images) -> None:
    """Check, before anything is predicted, that masks of these images can be handed in.

    Raises:
        UserError: an image is not named as those of the data set, two have the same CITY_SEQ_FRAME, an image cannot be
            read, or its size is not that of the data set's images.
    """
    seen: dict[str, str] = {}
    for name, path in images.items():
        id = id_of(name)
        if id is None:
            raise UserError(f"{path} is not named as an image of Cityscapes: {_NAMES}_leftImg8bit.png.")
        if id in seen:
            raise UserError(f"{images[seen[id]]} and {path} are both {id}: give images= one folder, of one split.")
        seen[id] = name
        try:
            size = size_of(path)
        except UNREADABLE as error:
            raise UserError(f"{path} {cannot_be_read(error)}: replace it.") from error
        if size != SIZE:
            raise UserError(
                f"{path} is {size[0]}x{size[1]}: the server takes masks of {SIZE[0]}x{SIZE[1]}, so give the images as "
                "they are published; a network of data.half_size=true looks at them at half size with scales=single "
                "scales.factors=[0.5]."
            )


def pack(out: Outputs, images: Images, file: Path) -> None:
    """Pack the masks of ``images``, whose class indices become label ids, into the .zip ``file``."""
    to_label_id = np.zeros(256, np.uint8)
    to_label_id[: len(LABEL_IDS)] = LABEL_IDS
    with replacing(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as package:
        for name in images:
            content = io.BytesIO()
            Image.fromarray(to_label_id[read_mask(out.path("masks", name))]).save(content, format="PNG")
            package.writestr(f"{id_of(name)}.png", content.getvalue())


def validate(package: Path, images: Images) -> None:
    """Check a package for everything that the server would refuse or score as wrong.

    A mask may lie in any folder of the package, and its name may go on behind CITY_SEQ_FRAME.

    Args:
        package: the .zip.
        images: the images that the package must label, by name.

    Raises:
        UserError: the message names the first faults: missing, superfluous or repeated ids, and masks that are no PNG
            of one channel with 8 bits, have another size than 2048 x 1024, or values that are no class's label id.
    """
    wanted = {id_of(name): name for name in images}
    faults: list[str] = []
    seen: dict[str, str] = {}
    try:
        with zipfile.ZipFile(package) as file:
            for member in file.infolist():
                name = member.filename
                id = id_of(name) if PurePosixPath(name).suffix == ".png" else None
                if member.is_dir():
                    continue
                if id not in wanted or id is None:
                    faults.append(f"{name} belongs to no image of the list")
                elif id in seen:
                    faults.append(f"{seen[id]} and {name} are both {id}")
                else:
                    seen[id] = name
                    faults += [f"{name} {fault}" for fault in _faults(file, member)]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{package} cannot be read as a .zip package: {error}") from error
    faults += [f"{id}.png is missing" for id in wanted if id not in seen]
    refuse_unfit(package, faults)


_LARGEST = 64 << 20
"""The bytes of the largest member that is read: a mask without any compression has 2 MB."""


def _faults(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> list[str]:
    if member.file_size > _LARGEST:
        return [f"unpacks to {member.file_size} bytes, more than a mask has"]
    try:
        with Image.open(io.BytesIO(file.read(member)), formats=FORMATS) as mask:
            if mask.format != "PNG" or mask.mode != "L":
                return [f"is a {mask.format} of mode {mask.mode}, not a PNG of one channel with 8 bits"]
            if mask.size != SIZE:
                return [f"is {mask.size[0]}x{mask.size[1]}, not {SIZE[0]}x{SIZE[1]}"]
            values = np.flatnonzero(np.bincount(np.array(mask).ravel(), minlength=256)).tolist()
    except UNREADABLE as error:
        return [cannot_be_read(error)]
    wrong = [value for value in values if value not in LABEL_IDS]
    if not wrong:
        return []
    train_ids = " (they look like train ids)" if max(values) < len(CITYSCAPES) else ""
    return [f"has the value {wrong[0]}, which is no class's label id{train_ids}"]

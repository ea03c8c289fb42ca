"""Confidence files: grey PNGs beside masks, which say how sure the maker of a mask was of each pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_lit.data.image_files import FORMATS
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError


def read_confidence(path: Path, shape: tuple[int, int] | None = None) -> Floats:
    """The confidences, float32 (H, W) from 0 to 1, of a grey picture of 8 or 16 bits, whose largest value is 1.

    Args:
        path: the file.
        shape: (H, W) of its mask; None: it is not compared.

    Raises:
        UserError: the file cannot be read, is no grey picture of 8 or 16 bits, or has another size than its mask.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            mode, values = file.mode, np.array(file)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as confidences ({error}): replace it or leave its mask out.") from error
    # some versions of Pillow call 16 bits I, which also stands for 32
    is_wide = mode.startswith("I") and 0 <= values.min() <= values.max() <= 65535
    if mode != "L" and not is_wide:
        raise UserError(
            f"{path} is a picture of mode {mode}: confidences are grey PNGs of 8 or 16 bits, whose largest value is 1."
        )
    if shape is not None and values.shape != shape:
        raise UserError(
            f"{path} is {values.shape[1]}x{values.shape[0]} but its mask is {shape[1]}x{shape[0]}: confidences have "
            "the size of their mask."
        )
    return values.astype(np.float32) / np.float32(65535 if is_wide else 255)


def masks_with_confidences(masks: str | Path, confidences: str | Path) -> dict[str, tuple[Path, Path]]:
    """The mask and the confidence file of each ID.png below ``masks``, by its path without ending.

    Raises:
        UserError: a folder does not exist, holds no mask, or lacks the confidences of a mask.
    """
    folders = (Path(masks).expanduser(), Path(confidences).expanduser())
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give one that holds ID.png for each image.")
    names = [file.relative_to(folders[0]) for file in sorted(folders[0].rglob("*.png")) if file.name[0] != "."]
    if not names:
        raise UserError(f"{folders[0]} holds no .png file: give the folder of the masks.")
    if absent := [name for name in names if not (folders[1] / name).is_file()]:
        raise UserError(
            f"{folders[0] / absent[0]} has no confidences: {folders[1] / absent[0]} does not exist ({len(absent)} such "
            "in all)."
        )
    return {name.with_suffix("").as_posix(): (folders[0] / name, folders[1] / name) for name in names}

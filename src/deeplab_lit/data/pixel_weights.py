"""Weights of pixels in the training loss, from grey pictures: 0 is weight 0, the highest grey level is weight 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from deeplab_lit.data.image_files import FORMATS
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError


def read_pixel_weights(path: Path, shape: tuple[int, int]) -> Floats:
    """Read a grey picture as weights from 0 to 1, float32 (H, W).

    Args:
        path: a PNG of 8 or 16 bits.
        shape: height and width of the mask, which the picture has too.

    Raises:
        UserError: the file cannot be read, is not grey of 8 or 16 bits, or has another size.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            mode, values = file.mode, np.asarray(file)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as weights of pixels ({error}): replace it.") from error
    # some versions of Pillow call 16 bits I, which also stands for 32
    is_wide = mode.startswith("I") and 0 <= values.min() <= values.max() <= 65535
    if mode != "L" and not is_wide:
        raise UserError(
            f"{path} is a picture of mode {mode}: weights of pixels are grey PNGs of 8 or 16 bits, black for weight 0 "
            "and white for weight 1."
        )
    if values.shape != shape:
        raise UserError(
            f"{path} is {values.shape[1]}x{values.shape[0]} but its mask is {shape[1]}x{shape[0]}: weights have the "
            "size of the mask."
        )
    return values.astype(np.float32) / np.float32(65535 if is_wide else 255)

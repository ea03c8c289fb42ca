"""PyTorch files, read without running code in them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import refuse_bombs


def load_file(path: Path, what: str) -> Any:
    """The content of a file, with tensors on the CPU; raises UserError if it is no ``what`` or would run code."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                refuse_bombs(archive, path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes PyTorch raise errors of many types
        words = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"{path} cannot be read as {what}: {words[0]}") from error


def load_state_dict(path: Path, wanted: str) -> dict[str, Tensor]:
    """The state dict in the file ``init.path``; raises UserError, which says which file is needed, if it is none."""
    if not path.is_file():
        raise UserError(f"init.path={str(path)!r} does not exist: give {wanted}.")
    content = load_file(path, "weights")
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"init.path={path} holds no plain state dict: give {wanted}.")
    return content

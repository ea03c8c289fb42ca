"""Exported programs of PyTorch (``.pt2``): written, run, and read without running code in them."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import refuse_bombs
from deeplab_lit.weights.description import CHECKPOINT_KEY, from_text, to_text

_ABOUT = f"{CHECKPOINT_KEY}.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_FLOAT32 = 7  # numbers in the enumeration of the format


def write_program(program: torch.export.ExportedProgram, content: dict[str, Any], path: Path) -> None:
    """Write a graph with the description in ``content`` as its extra file ``deeplab_lit.json``."""
    torch.export.save(program, path, extra_files={_ABOUT: to_text(content)})


def run_program(path: Path) -> Callable[[Tensor], Tensor]:
    """The graph of a file that this process has written. PyTorch's reader could run code in a file of others."""
    return torch.export.load(path).module()


def is_program(path: Path) -> bool:
    """Whether a zip file is an exported program."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2] == _WEIGHTS for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, struct.error):
        return False  # the reader of another format reports the error


def read_program(path: Path) -> dict[str, Any]:
    """The weights and the description of an exported program of this library, in the form of a checkpoint.

    Its graph is not read, since it may name any code. Batch normalisation is folded into the weights.

    Raises:
        UserError: the file is not of this library, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name.partition("/")[2]: name for name in archive.namelist()}
            if f"extra/{_ABOUT}" not in files:
                raise UserError(
                    f"{path} is an exported program of another library: give one that deeplab_lit.export wrote."
                )
            refuse_bombs(archive, path)
            content = from_text(archive.read(files[f"extra/{_ABOUT}"]).decode(), str(path))
            entries = json.loads(archive.read(files[_WEIGHTS]))["config"]
            state = {
                name: _tensor(entry, archive.read(files[f"data/weights/{entry['path_name']}"]))
                for name, entry in entries.items()
            }
            content[CHECKPOINT_KEY]["folded"] = True
    except UserError:
        raise
    except Exception as error:  # errors of the archive, or of its content
        raise UserError(f"{path} is damaged: its weights cannot be read ({type(error).__name__}: {error}).") from error
    return {**content, "state_dict": state}


def _tensor(entry: dict[str, Any], data: bytes) -> Tensor:
    meta = entry["tensor_meta"]
    sizes = [int(size["as_int"]) for size in meta["sizes"]]
    first, count = int(meta["storage_offset"]["as_int"]), math.prod(sizes)
    if entry["use_pickle"] or meta["dtype"] != _FLOAT32 or len(data) < 4 * (first + count) or first < 0:
        raise ValueError("a tensor is not plain float32")
    return torch.frombuffer(bytearray(data), dtype=torch.float32)[first : first + count].reshape(sizes)

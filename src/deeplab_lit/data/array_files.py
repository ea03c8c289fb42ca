"""Array files: arrays, and dicts of arrays, in the forms of NumPy, pickle and PyTorch, read without running code."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from deeplab_lit.data.safe_pickle import MOST_STEPS, as_array, read_pickle
from deeplab_lit.utils.errors import UserError, one_line
from deeplab_lit.utils.files import refuse_bombs

ENDINGS = (".npy", ".npz", ".pkl", ".pth", ".pt")
"""The endings of the files that are read."""


def read_arrays(path: Path, most: int, steps: int = MOST_STEPS) -> Any:
    """The array that a file holds, or its dict of arrays and plain values by names or numbers.

    A .npy file holds an array or, pickled, a dict. A .npz file is a dict by the names of its arrays, or its only array.
    A .pkl file is a pickle, .pth and .pt are PyTorch's files. Tensors become arrays.

    Args:
        path: the file.
        most: how many bytes the content may have in memory, where the file is compressed or pickled.
        steps: how many opcodes a pickle may have.

    Raises:
        UserError: the file holds anything else, is damaged, or unpacks to more than it may; the message does not name
            the file.
    """
    try:
        if path.suffix in (".pth", ".pt"):
            return _of_pytorch(path)
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                return read_pickle(_rest(file, most), most, steps)
        return _of_npz(path, most) if zipfile.is_zipfile(path) else _of_npy(path, most, steps)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes NumPy, PyTorch and zlib raise errors of many types
        raise UserError(f"it cannot be read as an array ({one_line(error)}).") from error


def _rest(file: IO[bytes], most: int) -> bytes:
    content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"it has more than {most} bytes, more than its image can need.")
    return content


def _of_npy(path: Path, most: int, steps: int) -> Any:
    with path.open("rb") as file:
        if _holds_objects(file):
            return read_pickle(_rest(file, most), most, steps)
    return np.load(path, mmap_mode="r", allow_pickle=False)  # mapped, it cannot be larger than its file


def _of_npz(path: Path, most: int) -> Any:
    found: dict[str, Any] = {}
    left = most
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.file_size > left:
                raise UserError(f"it unpacks to {info.file_size} bytes, more than its image can need.")
            with archive.open(info) as member:
                content = _rest(member, left)  # the size in the archive's header may be false
            left -= len(content)
            found[info.filename.removesuffix(".npy")] = _of_member(content, most)
    return next(iter(found.values())) if len(found) == 1 else found


def _of_member(content: bytes, most: int) -> Any:
    file = io.BytesIO(content)
    if _holds_objects(file):
        return read_pickle(file.read(), most)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _holds_objects(file: IO[bytes]) -> bool:
    """Whether a .npy file is a pickle behind its header; the file is then at the beginning of the pickle."""
    version = np.lib.format.read_magic(file)
    # version 3 is for records with names in Unicode
    if version not in ((1, 0), (2, 0)):
        return False
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return bool(read(file)[2].hasobject)


def _of_pytorch(path: Path) -> Any:
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            refuse_bombs(archive, path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if named := re.search(r"GLOBAL ([\w.]{1,80})", str(error)):
            raise UserError(
                f"it names {named[1]}, which is no tensor and no plain value, so it is not read: save NumPy's arrays "
                "with np.save, or as tensors (torch.from_numpy)."
            ) from error
        raise
    if isinstance(content, dict):
        return {key: as_array(each) if isinstance(each, torch.Tensor) else each for key, each in content.items()}
    return as_array(content) if isinstance(content, torch.Tensor) else content

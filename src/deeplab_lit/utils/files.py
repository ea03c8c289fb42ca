"""Files that are either whole or absent, and folders for them."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deeplab_lit.utils.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk: no space left, the user's quota, the largest size of a file."""


# words in torch's and NumPy's errors when the disk takes only a part of a file
_CUT_SHORT = ("PytorchStreamWriter", "inline_container.cc", "iostream error", "requested and")


def refuse_bombs(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise UserError if a zip file of weights unpacks to more bytes than it has; PyTorch does not compress them."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise UserError(f"{path} unpacks to {unpacked} bytes, more than it has: no file of weights does.")


@contextmanager
def replacing(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path``, which takes the name ``path`` when the block ends without an error.

    ``sync=False`` does not wait for the disk; it is for thousands of files that can be made again.

    Raises:
        OSError: the disk is full; the error names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        try:
            yield temporary
        except (RuntimeError, OSError) as error:
            code = getattr(error, "errno", None)
            if code not in DISK_FULL:
                if not any(words in str(error) for words in _CUT_SHORT):
                    raise
                code = errno.ENOSPC
            raise OSError(code, os.strerror(code), os.fspath(path)) from error  # an error of writing lacks the path
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def new_folder(parent: Path) -> Path:
    """Make a folder below ``parent`` that is named by the time, and that no other process has.

    Raises:
        UserError: a thousand folders of this second exist.
    """
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1000):
        folder = parent / (stamp if attempt == 0 else f"{stamp}_{attempt}")
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise UserError(f"{parent} has a thousand folders of this second: choose another output=FOLDER.")


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN becomes null, since JSON has no NaN."""
    write_text(path, json.dumps(_no_nan(value), indent=2, allow_nan=False) + "\n")


def _no_nan(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, dict):
        return {key: _no_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_no_nan(each) for each in value]
    return value

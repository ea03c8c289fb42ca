"""Decoded images and masks kept as files that all processes of a machine map, up to a bound."""

from __future__ import annotations

import hashlib
import mmap
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.files import cache_folder, replacing, write_text
from deeplab_lit.utils.locks import one_at_a_time

_VERSION = b"decoded1"
_HEADER = len(_VERSION) + 8  # and height and width, uint32
_USUAL = 800_000  # bytes of a VOC example
_HOUR = 3600.0

Pair = tuple[Path, Path]
"""An image and its mask."""


class DecodedCache:
    """Examples of a data set, decoded once: a file each, whole or not there, which the system holds in memory once.

    Where the bound is reached or the disk is full, nothing more is kept and examples are decoded as they are read.

    Args:
        folder: where the files lie, best on a disk of this machine, or below /dev/shm.
        bound: the most that all files of the folder may take, bytes. What other data sets left there makes room,
            the oldest first.
        files: image and mask of each example of all splits. A file that changes is decoded anew.
        num_classes: what masks were checked for.
    """

    def __init__(self, folder: Path, bound: int, files: Iterable[Pair], num_classes: int) -> None:
        self._folder, self._bound, self._full = folder, bound, False
        self._names = {pair: f"{_key(pair, num_classes)}.raw" for pair in files}
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(self._used):
            write_text(self._used, str(self._evict()))

    @property
    def _used(self) -> Path:
        return self._folder / "used"

    def get(self, pair: Pair) -> tuple[Bytes, Bytes] | None:
        """Image (H, W, 3) and mask (H, W) of an example, in shared memory that is copied when it is written to."""
        try:
            with (self._folder / self._names[pair]).open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError):  # not there, or empty
            return None
        if len(memory) < _HEADER or memory[: len(_VERSION)] != _VERSION:
            return None
        height, width = (int(side) for side in np.frombuffer(memory, np.uint32, 2, len(_VERSION)))
        pixels = height * width
        if len(memory) != _HEADER + 4 * pixels:  # cut short by a crash of the machine
            return None
        image = np.frombuffer(memory, np.uint8, 3 * pixels, _HEADER).reshape(height, width, 3)
        return image, np.frombuffer(memory, np.uint8, pixels, _HEADER + 3 * pixels).reshape(height, width)

    def put(self, pair: Pair, image: Bytes, mask: Bytes) -> None:
        """Keep an example, if there is room."""
        if self._full:
            return
        target, size = self._folder / self._names[pair], _HEADER + image.nbytes + mask.nbytes
        try:
            # one at a time, or two that decoded the same example would both take room for it
            with one_at_a_time(self._used):
                if self.get(pair) is not None:
                    return
                used = int(self._used.read_text())
                if used + size > self._bound:
                    self._full = True
                    return
                write_text(self._used, str(used + size))  # first, so that a kill between the two leaves the bound
                with replacing(target, sync=False) as temporary, temporary.open("wb") as file:
                    file.write(_VERSION + np.array(mask.shape, np.uint32).tobytes())
                    file.write(np.ascontiguousarray(image).data)
                    file.write(np.ascontiguousarray(mask).data)
        except OSError as error:
            self._full = True
            warnings.warn(f"no more decoded images are kept in {self._folder} ({error}).", stacklevel=2)

    def _evict(self) -> int:
        """Remove what no process is writing any more and, oldest first, others' files; the bytes that are left."""
        own = set(self._names.values())
        total = 0
        others: list[tuple[float, int, Path]] = []
        kept: list[tuple[float, int, Path]] = []
        for file in self._folder.glob("*.raw"):
            try:
                stat = file.stat()
            except FileNotFoundError:  # another process was quicker
                continue
            if file.name.startswith("."):
                if time.time() - stat.st_mtime > _HOUR:
                    file.unlink(missing_ok=True)
                continue
            total += stat.st_size
            (kept if file.name in own else others).append((stat.st_mtime, stat.st_size, file))
        usual = sum(size for _, size, _ in kept) // len(kept) if kept else _USUAL
        for limit, some in ((self._bound - usual * (len(own) - len(kept)), others), (self._bound, kept)):
            for _, size, file in sorted(some):
                if total <= limit:
                    break
                file.unlink(missing_ok=True)
                total -= size
        return total


def decoded_folder() -> Path:
    """Where trainings keep what they decoded."""
    return cache_folder() / "decoded"


def _key(pair: Pair, num_classes: int) -> str:
    stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in pair for stat in [file.stat()]]
    return hashlib.sha256(repr((stats, num_classes)).encode()).hexdigest()[:24]

"""Decoded cache: decoded images and masks in files that all processes of a machine map, up to a bound."""

from __future__ import annotations

import hashlib
import mmap
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deeplab_lit.data.mask_files import MaskCoding
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.files import replacing, write_text
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.locks import one_at_a_time

_VERSION = b"decoded1"
_HEADER = len(_VERSION) + 8  # the version, then height and width as uint32
_USUAL = 800_000  # bytes of a decoded VOC example
_HOUR = 3600.0

Pair = tuple[Path, Path]
"""(image file, mask file) of an example."""


class DecodedCache:
    """A cache of decoded examples, with one file for each, which is whole or absent.

    All processes map the same file, so that the system holds it in memory once. When the bound is reached or the disk
    is full, the cache takes no more examples, and the others are decoded at each read.

    Args:
        folder: the folder of the files, best on a local disk or below /dev/shm.
        bound: the largest size of all files in the folder together, in bytes. Files of other data sets are deleted to
            make room, the oldest first.
        files: the image and mask files of the examples of all splits, each pair with how the pixels of its mask stand
            for classes. An example whose file changes is decoded again.
        num_classes: the number of classes that the masks were checked against.
        pixels: the format of the images.
    """

    def __init__(
        self,
        folder: Path,
        bound: int,
        files: Mapping[Pair, MaskCoding],
        num_classes: int,
        pixels: PixelFormat = RGB,
    ) -> None:
        self._folder, self._bound, self._full, self._pixels = folder, bound, False, pixels
        # without the format of RGB bytes, so that caches of earlier releases are found
        more = () if pixels == RGB else (pixels,)
        self._names = {pair: f"{_key(pair, (num_classes, coding, *more))}.raw" for pair, coding in files.items()}
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(self._used):
            write_text(self._used, str(self._evict()))

    @property
    def _used(self) -> Path:
        return self._folder / "used"

    def get(self, pair: Pair) -> tuple[Pixels, Bytes] | None:
        """The image (H, W, C) and mask (H, W) of an example in copy-on-write memory; None if they are not cached."""
        try:
            with (self._folder / self._names[pair]).open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError):  # not there, or empty
            return None
        if len(memory) < _HEADER or memory[: len(_VERSION)] != _VERSION:
            return None
        height, width = (int(side) for side in np.frombuffer(memory, np.uint32, 2, len(_VERSION)))
        area, channels = height * width, self._pixels.channels
        of_image = area * channels * self._pixels.bits // 8
        if len(memory) != _HEADER + of_image + area:  # cut short by a crash of the machine
            return None
        image = np.frombuffer(memory, self._pixels.dtype, area * channels, _HEADER).reshape(height, width, channels)
        return image, np.frombuffer(memory, np.uint8, area, _HEADER + of_image).reshape(height, width)

    def put(self, pair: Pair, image: Pixels, mask: Bytes) -> None:
        """Add an example to the cache if there is room."""
        if self._full:
            return
        target, size = self._folder / self._names[pair], _HEADER + image.nbytes + mask.nbytes
        try:
            # without the lock, two processes that decoded the same example would both reserve room for it
            with one_at_a_time(self._used):
                if self.get(pair) is not None:
                    return
                used = int(self._used.read_text())
                if used + size > self._bound:
                    self._full = True
                    return
                write_text(self._used, str(used + size))  # before the file: a kill in between then keeps the bound
                with replacing(target, sync=False) as temporary, temporary.open("wb") as file:
                    file.write(_VERSION + np.array(mask.shape, np.uint32).tobytes())
                    file.write(np.ascontiguousarray(image).data)
                    file.write(np.ascontiguousarray(mask).data)
        except OSError as error:
            self._full = True
            warnings.warn(f"no more decoded images are kept in {self._folder} ({error}).", stacklevel=2)

    def _evict(self) -> int:
        """Delete abandoned temporary files, and cached files beyond the bound; return the bytes that are left.

        Files of other data sets are deleted before the data set's own, and old files before new ones.
        """
        own = set(self._names.values())
        total = 0
        others: list[tuple[float, int, Path]] = []
        kept: list[tuple[float, int, Path]] = []
        for file in self._folder.glob("*.raw"):
            try:
                stat = file.stat()
            except FileNotFoundError:  # another process deleted it
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
    """The default folder of the decoded cache."""
    return cache_folder() / "decoded"


def _key(pair: Pair, about: tuple[Any, ...]) -> str:
    stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in pair for stat in [file.stat()]]
    return hashlib.sha256(repr((stats, *about)).encode()).hexdigest()[:24]

"""Parts of an evaluation: a file from each shard, in a folder that all shards share."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeplab_lit.data.split import Example
from deeplab_lit.inference.scoring import Evaluation, ImageResult
from deeplab_lit.utils.files import replacing
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.shards import Shard


@dataclass(frozen=True)
class Part:
    """What a process found.

    Attributes:
        evaluation: of the images of its shard.
        seconds: the time that it took.
        device: the device that the network ran on.
    """

    evaluation: Evaluation
    seconds: float
    device: str

    @classmethod
    def merged(cls, parts: Sequence[Part], keep: int) -> Part:
        """What all processes found, as :meth:`Evaluation.merged` has it; the time is the longest of the parts'."""
        evaluation = Evaluation.merged([part.evaluation for part in parts], keep)
        devices = ", ".join(sorted({part.device for part in parts}))
        return cls(evaluation, max(part.seconds for part in parts), devices)


class Parts:
    """The folder of an evaluation's parts.

    A part that an earlier call has left is removed, since this call makes it again.

    Args:
        parent: the folder that gets the folder of the parts.
        deciding: everything that decides the evaluation, as builtins; the name of the folder follows from it.
        shard: that of this process.
    """

    def __init__(self, parent: Path, deciding: Mapping[str, Any], shard: Shard) -> None:
        text = json.dumps([deciding, shard.count], sort_keys=True)
        self._folder = parent / f"parts-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
        self._shard = shard
        with one_at_a_time(self._folder):
            self._file(shard.index).unlink(missing_ok=True)

    def _file(self, index: int) -> Path:
        return self._folder / f"{index}-of-{self._shard.count}.npz"

    @contextmanager
    def completed_by(self, part: Part) -> Iterator[list[Part] | None]:
        """Write the part of this process, and yield all parts, from the first shard's to the last's.

        It yields None, and prints how many parts are still to come, if not all are there. Other processes wait until
        the block ends. If it ends without an error, the parts are removed.
        """
        with one_at_a_time(self._folder):
            _write(part, self._file(self._shard.index))
            # a listing, since a network file system may remember of a single file that it was not there
            there = {file.name for file in self._folder.iterdir()}
            files = [self._file(index) for index in range(1, self._shard.count + 1)]
            missing = sum(file.name not in there for file in files)
            if missing:
                place = f"part {self._shard.index} of {self._shard.count}"
                print(f"{place} written, {missing} still to come: {self._folder}")
                yield None
                return
            yield [_read(file) for file in files]
            shutil.rmtree(self._folder)


def _write(part: Part, file: Path) -> None:
    found = part.evaluation
    arrays: dict[str, Any] = {
        "seconds": part.seconds,
        "device": part.device,
        "matrices": np.stack(found.matrices),
        "rings": np.stack([trimap.rings for trimap in found.trimaps]),
        "ids": np.array([id for id, _ in found.images], np.str_),
        "accuracies": np.array([values for _, values in found.images], np.float64),
    }
    for kind, kept in (("helped", found.helped), ("hurt", found.hurt)):
        arrays[kind] = np.array([each.example.id for each in kept], np.str_)
        for number, each in enumerate(kept):
            arrays[f"{kind}/{number}/image"] = each.example.image
            arrays[f"{kind}/{number}/mask"] = each.example.mask
            arrays[f"{kind}/{number}/labels"] = np.stack(each.labels)
            arrays[f"{kind}/{number}/accuracies"] = np.array(each.accuracies, np.float64)
    with replacing(file) as temporary:
        np.savez_compressed(temporary, **arrays)


def _read(file: Path) -> Part:
    with np.load(file, allow_pickle=False) as content:
        arrays = dict(content)
    stages, widest, classes, _ = arrays["rings"].shape
    found = Evaluation.empty(stages, classes, widest)
    found.matrices = list(arrays["matrices"])
    for trimap, rings in zip(found.trimaps, arrays["rings"], strict=True):
        trimap.rings = rings
    found.images = list(zip(arrays["ids"].tolist(), map(tuple, arrays["accuracies"].tolist()), strict=True))
    found.helped, found.hurt = (list(_kept(arrays, kind)) for kind in ("helped", "hurt"))
    return Part(found, float(arrays["seconds"]), str(arrays["device"]))


def _kept(arrays: dict[str, Any], kind: str) -> Iterator[ImageResult]:
    for number, id in enumerate(arrays[kind].tolist()):
        image, mask, labels, accuracies = (
            arrays[f"{kind}/{number}/{name}"] for name in ("image", "mask", "labels", "accuracies")
        )
        yield ImageResult(Example(image, mask, id), tuple(labels), tuple(accuracies.tolist()))

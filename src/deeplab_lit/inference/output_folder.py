"""Output folder of a command, which is filled image by image and which a later call can complete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.config.identity import USE_OF_EARLIER_RELEASES
from deeplab_lit.data.drawing import overlay
from deeplab_lit.data.image_files import save_image, write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.unusable_files import Fault, refuse
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing, write_json, write_text
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import Shard

_SETTINGS = "settings.json"
LIST = "train.txt"
"""The list of the images that have a mask."""


class Outputs:
    """The files of each image below a folder: masks/NAME.png, overlays/NAME.png, probabilities/NAME.npz.

    The folder and its settings.json are made with the first mask.

    Args:
        folder: the folder.
        labels: the label set, whose palette the masks take.
        settings: everything that decides what is written; a folder with results of other settings is refused.
        overlays, probabilities, confidence: whether to write these files besides the masks.
        overwrite: write all files again, whatever the settings of the old ones.

    Raises:
        UserError: the folder holds results of other settings.
    """

    def __init__(
        self,
        folder: str,
        labels: LabelSet,
        settings: Mapping[str, Any],
        overlays: bool,
        probabilities: bool,
        overwrite: bool,
        confidence: bool = False,
    ) -> None:
        self.folder, self.labels = Path(folder).expanduser(), labels
        self._kinds = {"masks": ".png"}
        if overlays:
            self._kinds["overlays"] = ".png"
        if probabilities:
            self._kinds["probabilities"] = ".npz"
        if confidence:
            self._kinds["confidence"] = ".png"
        self.keeps_probabilities, self._overwrite = probabilities, overwrite
        self._settings, self._is_begun, self._lock = json.loads(json.dumps(settings)), False, Lock()
        self._check()

    def _check(self) -> None:
        file = self.folder / _SETTINGS
        if self._overwrite or not file.is_file() or not self._holds_masks():
            return
        before = {**USE_OF_EARLIER_RELEASES, **json.loads(file.read_text())}
        changed = [key for key in self._settings if before.get(key) != self._settings[key]]
        if changed:
            key = changed[0]
            raise UserError(
                f"{self.folder} holds results of {key}={before.get(key)}, this is {key}={self._settings[key]}: choose "
                "another out=FOLDER, or type overwrite=true."
            )

    def _holds_masks(self) -> bool:
        return any(not file.name.startswith(".") for file in (self.folder / "masks").rglob("*.png"))

    def _begin(self) -> None:
        """Write the settings before the first mask, so that there is no mask without settings."""
        with self._lock:
            if not self._is_begun:
                with one_at_a_time(self.folder / _SETTINGS):
                    self._check()  # another process may have begun in the meantime
                    write_json(self.folder / _SETTINGS, self._settings)
                self._is_begun = True

    def path(self, kind: str, name: str) -> Path:
        """The path of an image's file; ``kind`` is masks, overlays, probabilities or confidence."""
        return self.folder / kind / f"{name}{self._kinds[kind]}"

    def is_done(self, name: str) -> bool:
        """Whether all files of an image exist and may stay."""
        return not self._overwrite and all(self.path(kind, name).is_file() for kind in self._kinds)

    def outdated(self, files: Mapping[str, Path]) -> list[Path]:
        """Those of some input files, by their names, that are newer than the mask of the name."""
        return [file for name, file in files.items() if _written(file) > _written(self.path("masks", name))]

    def write_list(self, names: Iterable[str]) -> None:
        """List those of ``names`` that have a mask; without a mask there is no list."""
        with one_at_a_time(self.folder / LIST):  # the process that ends last lists the masks of all
            if there := [name for name in names if self.path("masks", name).is_file()]:
                write_text(self.folder / LIST, "".join(f"{name}\n" for name in there))

    def write(
        self,
        name: str,
        image: Pixels,
        labels: Bytes,
        probabilities: NDArray[np.float32] | None,
        confidence: NDArray[np.float32] | None = None,
    ) -> None:
        """Write the files of an image, each whole or not at all, the mask last.

        Args:
            name: the name of the image.
            image: RGB bytes (H, W, 3), or another image (H, W, C).
            labels: class indices (H, W).
            probabilities: float32 (C, H, W), or None.
            confidence: the highest probability of each pixel, float32 (H, W), or None.

        Raises:
            UserError: another process has begun to write results of other settings into the folder.
        """
        self._begin()
        if confidence is not None and "confidence" in self._kinds:
            with replacing(self.path("confidence", name), sync=False) as temporary:
                grey = Image.fromarray(np.round(255 * confidence).astype(np.uint8))
                save_image(grey, temporary, format="PNG")
        if probabilities is not None and "probabilities" in self._kinds:
            with replacing(self.path("probabilities", name), sync=False) as temporary:
                np.savez_compressed(temporary, probabilities=probabilities.astype(np.float16))
        if "overlays" in self._kinds:
            with replacing(self.path("overlays", name), sync=False) as temporary:
                save_image(Image.fromarray(overlay(image, labels, self.labels)), temporary, format="PNG")
        with replacing(self.path("masks", name), sync=False) as temporary:
            write_mask(labels, self.labels.colours, temporary)


def _written(file: Path) -> float:
    return file.stat().st_mtime


@dataclass(frozen=True)
class Filled:
    """What became of the images of a call.

    Attributes:
        written: how many were written.
        there: how many were there already.
        outdated: input files that are newer than what was there already.
        faults: those that could not be used.
    """

    written: int
    there: int
    outdated: Sequence[Path]
    faults: Sequence[Fault]


def fill(out: Outputs, files: Mapping[str, Path], work: Callable[[str], None], what: str, threads: int) -> Filled:
    """Write the outputs of the images that lack some, in threads.

    Args:
        out: the folder.
        files: the input file of each image, by its name.
        work: reads the input of a name and calls :meth:`Outputs.write`; of an input that cannot be used it raises
            UserError, whose text does not name the file.
        what: the name of the work, for the progress.
        threads: how many images are worked on at once.
    """
    there = {name: file for name, file in files.items() if out.is_done(name)}
    waiting = [name for name in files if name not in there]

    def attempt(name: str) -> Fault | None:
        try:
            work(name)
        except UserError as error:
            return Fault(name, f"{files[name]}: {error}")
        return None

    faults = []
    with preparing() as progress:
        progress(what, 0, len(waiting))
        for done, fault in enumerate(ahead(attempt, waiting, threads), 1):
            faults += [fault] if fault else []
            progress(what, done, len(waiting))
    return Filled(len(waiting) - len(faults), len(there), out.outdated(there), faults)


def conclude(filled: Filled, folder: Path, shard: Shard, more: Sequence[str] = ()) -> None:
    """Print how many images were written and how many were there already, and ``more`` lines.

    Where many files could not be used, unusable.txt in the folder lists them, those of each shard for itself.

    Raises:
        UserError: files could not be used; the message names them.
    """
    there = f", {filled.there} were there already" if filled.there else ""
    print(f"{filled.written} images written{there}: {folder}")
    for line in more:
        print(line)
    if newer := filled.outdated:
        print(
            f"warning: {len(newer)} input file(s) are newer than what was made of them before, such as {newer[0]}: "
            "type overwrite=true to make all again.",
            file=sys.stderr,
        )
    part = "" if shard.count == 1 else f"_{shard.index}"
    refuse(filled.faults, filled.written + filled.there + len(filled.faults), folder / f"unusable{part}.txt")

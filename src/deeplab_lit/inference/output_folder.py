"""Output folder of a command, which is filled image by image and which a later call can complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.config.identity import USE_OF_EARLIER_RELEASES
from deeplab_lit.data.drawing import overlay
from deeplab_lit.data.image_files import save_image, write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing, write_json
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing

_SETTINGS = "settings.json"


class Outputs:
    """The files of each image below a folder: masks/NAME.png, overlays/NAME.png, probabilities/NAME.npz.

    Args:
        folder: the folder, which is made if it does not exist.
        labels: the label set, whose palette the masks take.
        settings: everything that decides what is written; a folder with results of other settings is refused.
        overlays, probabilities: whether to write these files besides the masks.
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
    ) -> None:
        self.folder, self.labels = Path(folder).expanduser(), labels
        self._kinds = {"masks": ".png"}
        if overlays:
            self._kinds["overlays"] = ".png"
        if probabilities:
            self._kinds["probabilities"] = ".npz"
        self.keeps_probabilities, self._overwrite = probabilities, overwrite
        self._check(json.loads(json.dumps(settings)))

    def _check(self, settings: dict[str, Any]) -> None:
        file = self.folder / _SETTINGS
        if file.is_file() and not self._overwrite:
            before = {**USE_OF_EARLIER_RELEASES, **json.loads(file.read_text())}
            changed = [key for key in settings if before.get(key) != settings[key]]
            if changed:
                key = changed[0]
                raise UserError(
                    f"{self.folder} holds results of {key}={before.get(key)}, this is {key}={settings[key]}: choose "
                    "another out=FOLDER, or type overwrite=true."
                )
        write_json(file, settings)

    def path(self, kind: str, name: str) -> Path:
        """The path of an image's file; ``kind`` is masks, overlays or probabilities."""
        return self.folder / kind / f"{name}{self._kinds[kind]}"

    def is_done(self, name: str) -> bool:
        """Whether all files of an image exist and may stay."""
        return not self._overwrite and all(self.path(kind, name).is_file() for kind in self._kinds)

    def write(self, name: str, image: Pixels, labels: Bytes, probabilities: NDArray[np.float32] | None) -> None:
        """Write the files of an image, each whole or not at all, the mask last.

        Args:
            name: the name of the image.
            image: RGB bytes (H, W, 3), or another image (H, W, C).
            labels: class indices (H, W).
            probabilities: float32 (C, H, W), or None.
        """
        if probabilities is not None and "probabilities" in self._kinds:
            with replacing(self.path("probabilities", name), sync=False) as temporary:
                np.savez_compressed(temporary, probabilities=probabilities.astype(np.float16))
        if "overlays" in self._kinds:
            with replacing(self.path("overlays", name), sync=False) as temporary:
                save_image(Image.fromarray(overlay(image, labels, self.labels)), temporary, format="PNG")
        with replacing(self.path("masks", name), sync=False) as temporary:
            write_mask(labels, self.labels.colours, temporary)


def fill(
    out: Outputs, files: Mapping[str, Path], work: Callable[[str], None], what: str, threads: int
) -> tuple[int, int, list[str]]:
    """Write the outputs of the images that lack some, in threads.

    Args:
        out: the folder.
        files: the input file of each image, by its name.
        work: reads the input of a name and calls :meth:`Outputs.write`; of an input that cannot be used it raises
            UserError, whose text does not name the file.
        what: the name of the work, for the progress.
        threads: how many images are worked on at once.

    Returns:
        How many images were written, how many were there already, and a sentence for each that could not be used, as
        :func:`conclude` takes them.
    """
    waiting = [name for name in files if not out.is_done(name)]

    def attempt(name: str) -> str | None:
        try:
            work(name)
        except UserError as error:
            return f"{files[name]}: {error}"
        return None

    bad = []
    with preparing() as progress:
        progress(what, 0, len(waiting))
        for done, fault in enumerate(ahead(attempt, waiting, threads), 1):
            bad += [fault] if fault else []
            progress(what, done, len(waiting))
    return len(waiting) - len(bad), len(files) - len(waiting), bad


def conclude(done: int, skipped: int, bad: Sequence[str], folder: Path) -> None:
    """Print how many images were written and how many were there already.

    Raises:
        UserError: files could not be used; the message names them.
    """
    there = f", {skipped} were there already" if skipped else ""
    print(f"{done} images written{there}: {folder}")
    refuse(bad)


def refuse(bad: Sequence[str]) -> None:
    """Raise UserError if there are files that could not be used, each with a sentence in ``bad``."""
    if bad:
        raise UserError(f"{len(bad)} file(s) could not be used, all others were: " + " | ".join(bad))

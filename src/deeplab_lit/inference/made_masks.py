"""Made masks: what the command pseudo tells of the masks of a call, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from deeplab_lit.config.command_schemas import PseudoConfig
from deeplab_lit.data.labels import VOID
from deeplab_lit.inference.output_folder import LIST
from deeplab_lit.utils.arrays import Bytes


class MadeMasks:
    """Counts over the masks of a call, which several threads add to."""

    def __init__(self) -> None:
        self._void: list[float] = []
        self._is_bare: list[bool] = []

    def add(self, mask: Bytes) -> None:
        """Count a mask (H, W)."""
        self._void.append(float((mask == VOID).mean()))
        self._is_bare.append(bool(((mask == 0) | (mask == VOID)).all()))

    def lines(self, tagged: Collection[str] | None, named: Collection[str], config: PseudoConfig) -> list[str]:
        """The text for the user.

        Args:
            tagged: the images in the list of image tags; None: there is no list.
            named: the images that have a file of maps.
            config: the config of the command.
        """
        lines = []
        if self._void:
            lines.append(
                f"void: {100 * np.mean(self._void):.1f} % of their pixels; without a pixel of a foreground class: "
                f"{sum(self._is_bare)} images"
            )
        if absent := sorted({*(tagged or ())} - {*named}):
            lines.append(
                f"without a file in cams, so without a mask: {len(absent)} images of tags={config.tags}, such as "
                f"{absent[0]}"
            )
        return lines + _next(config)


def _next(config: PseudoConfig) -> list[str]:
    folder = Path(config.out).expanduser()
    if not (folder / LIST).is_file():
        return []
    tags = {} if config.tags is None else {"tags": config.tags, "tags_zero_is": config.tags_zero_is}
    classes = {} if config.classes is None else {"classes": config.classes}
    weights = {"loss.pixel_weights": folder / "confidence"} if config.confidence else {}
    masks = folder / "masks"
    look = {"masks": masks, "images": config.images, "out": f"{folder}_audit", **tags, **classes}
    train = {"data.train_masks": masks, "data.train_list": folder / LIST, **weights}
    return [f"next: deeplab-lit audit {_words(look)}", f"then: deeplab-lit train ... {_words(train)}"]


def _words(keys: Mapping[str, object]) -> str:
    return " ".join(shlex.quote(f"{key}={value}") for key, value in keys.items())

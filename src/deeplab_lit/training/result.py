"""The result of a run, as result.json holds it; docs/result.md lists its keys."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from deeplab_lit.config.keys import key
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_json


@dataclass(kw_only=True)
class Result:
    """The scores of a run's best checkpoint on the validation split, and facts about the run."""

    miou: float = key("mean over the classes of the intersection over union, 0 to 1")
    per_class_iou: dict[str, float | None] = key(
        "of each class by name; null where neither truth nor prediction has it"
    )
    pixel_accuracy: float = key("share of labelled pixels that are right")
    mean_accuracy: float = key("mean over the classes of the share of their pixels that are right")
    best_step: int | None = key("optimiser step of the checkpoint", None)
    checkpoint: str | None = key("its path", None)
    steps: int | None = key("optimiser steps of the whole training", None)
    left_out: int | None = key("optimiser steps without an update, since their loss or gradient was not finite", None)
    seconds: float | None = key("of training and validation, summed over resumes", None)
    images: dict[str, int] | None = key("how many the splits `train` and `validation` have", None)
    global_batch_size: int | None = key("training images in a step, of all processes together", None)
    params: int | None = key("parameters of the network", None)
    images_per_second: float | None = key("validation images, reading and scoring included", None)
    command: str | None = key("what was typed", None)
    code: str | None = key("version of this library, and in a clone its commit", None)
    crf: dict[str, Any] | None = key(
        "with the dense CRF behind the network: the four scores again, `parameters`, and `trimap`, the scores within "
        "bands around boundaries `before` and `after` it",
        None,
    )
    row: dict[str, Any] | None = key(
        "of a published table: `table`, `name`, `budget`, `marks`, the `published` numbers and, where the images of a "
        "step are not the published number, `departs`",
        None,
    )
    pictures: list[str] | None = key("of a row: the validation images in pictures/wall", None)
    trained_by: str | None = key("the run that did the training, where this one scored its checkpoint alone", None)

    def write(self, path: Path) -> None:
        """Write result.json atomically, without the fields that are None."""
        write_json(path, {name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a result.json.

        Raises:
            UserError: the file cannot be read, or has no scores.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{each.name: content[each.name] for each in fields(cls) if each.name in content})
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be read ({error}): remove its folder, and the row runs again.") from error

    @property
    def crf_miou(self) -> float | None:
        """The mIoU with the CRF; None without one."""
        return None if self.crf is None else float(self.crf["miou"])

"""Checkpoints of a training: how they are written, which are kept, and which can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from deeplab_lit.training.runs import Run
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing
from deeplab_lit.weights.description import CHECKPOINT_KEY


class WholeFileCheckpoint(TorchCheckpointIO):
    """Writes a temporary file and renames it, so that a killed process leaves the previous checkpoint intact."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)


def keep_scored(run: Run, kept: str) -> ModelCheckpoint:
    """The callback that keeps best.ckpt: the checkpoint of the highest validation mIoU, or the newest with ``last``."""
    return _checkpoint(run, "best", monitor="val/miou" if kept == "best" else "step", mode="max")


def keep_last(run: Run) -> ModelCheckpoint:
    """The callback that keeps the newest checkpoint, written after each validation."""
    return _checkpoint(run, "last")


def _checkpoint(run: Run, name: str, **arguments: Any) -> ModelCheckpoint:
    return ModelCheckpoint(
        run.checkpoints,
        filename=name,
        save_top_k=1,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
        auto_insert_metric_name=False,
        **arguments,
    )


def check_resumable(path: Path, content: dict[str, Any], description: dict[str, Any]) -> None:
    """Check that a checkpoint to resume has the same network and the same classes as this run.

    Args:
        path: of the checkpoint, for messages.
        content: of the checkpoint.
        description: of the network that would be trained on, as :func:`deeplab_lit.weights.description.describe` gives.

    Raises:
        UserError: channels, backbone, model, scales, CRF or class names differ; the message names the first that does.
    """
    theirs = content[CHECKPOINT_KEY]
    for part in ("channels", "backbone", "model", "scales", "crf"):
        otherwise = 3 if part == "channels" else None  # in checkpoints of earlier releases
        old, new = (each.get(part, otherwise) for each in (theirs["network"], description["network"]))
        if old != new:
            raise UserError(
                f"{path} holds another {part} ({_difference(old, new)}): type the command of its run again, which "
                "stands in its train.log and result.json, or start a new run."
            )
    old, new = theirs["labels"]["names"], description["labels"]["names"]
    if old != new:
        raise UserError(
            f"{path} was trained for {len(old)} classes ({', '.join(old[:4])}, ...), this run has {len(new)} "
            f"({', '.join(new[:4])}, ...); start a new run instead."
        )


def _difference(old: Any, new: Any) -> str:
    """How a part of the network differs: the first keys whose values do, or the values themselves."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return f"{old}, here {new}"
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{key} {old.get(key)}, here {new.get(key)}" for key in keys[:2])

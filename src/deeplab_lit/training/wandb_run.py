"""Weights & Biases run of a training: its folders, its start, its end and the result that it shows."""

from __future__ import annotations

import math
import netrc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.config.schemas import RowConfig, TrainConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.training.log import log
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run
from deeplab_lit.utils.errors import UserError, one_line

if TYPE_CHECKING:
    import wandb

_SCALARS = ("miou", "pixel_accuracy", "mean_accuracy", "global_batch_size", "steps", "best_step", "seconds")


def wandb_is_configured() -> bool:
    """Whether W&B has a key (``WANDB_API_KEY`` or netrc) or a mode (``WANDB_MODE``), so that it does not prompt."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE"):
        return True
    for name in (".netrc", "_netrc"):
        # a RuntimeError: there is no home
        with suppress(OSError, RuntimeError, netrc.NetrcParseError):
            if netrc.netrc(Path.home() / name).authenticators("api.wandb.ai"):
                return True
    return False


@contextmanager
def wandb_folders(folder: Path) -> Iterator[None]:
    """A context in which W&B keeps its cache, data and settings below ``folder``, and prints nothing.

    Variables of the environment that the user has set are kept, and W&B's settings file in the user's home is read.
    """
    root = folder.absolute() / "wandb"
    ours = {
        "WANDB_CACHE_DIR": str(root / "cache"),
        "WANDB_DATA_DIR": str(root / "data"),
        "WANDB_SILENT": "true",
    }
    if not _has_settings():
        ours["WANDB_CONFIG_DIR"] = str(root / "config")
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _has_settings() -> bool:
    with suppress(OSError, RuntimeError):
        return (Path.home() / ".config" / "wandb" / "settings").is_file()
    return False


def start_wandb(arguments: dict[str, Any], folder: Path, config: TrainConfig) -> wandb.Run:
    """Start the W&B run of a training, and log where it is.

    Args:
        arguments: of ``wandb.init``, which override those of this function.
        folder: the run directory.
        config: of the training, recorded with the run.

    Raises:
        UserError: W&B refuses the arguments.
    """
    # slow to import, so only where it is used
    import wandb

    if config.row is not None:
        arguments = _with_row(arguments, config.row, config.global_batch_size)
    ours = {
        "name": f"{config.name}/{folder.name}",
        # an argument, since W&B reads the variable once in a process, and a multirun has several run directories
        "dir": os.environ.get("WANDB_DIR", folder),
        # the id comes from the folder, so that a resumed run continues the same W&B run
        "id": "-".join(folder.parts[-2:])[-64:],
        "resume": "allow",
        "mode": None if wandb_is_configured() else "offline",
        "config": config.as_dict(),
        "settings": wandb.Settings(silent=True),
    }
    try:
        run = wandb.init(**{**ours, **arguments})
    except (TypeError, ValueError, wandb.errors.UsageError) as error:
        if "API key" in str(error):  # of WANDB_MODE=online, so no mistake in the arguments
            raise RuntimeError(str(error)) from error
        raise UserError(f"logger.wandb does not accept {arguments}: {one_line(error)}") from error
    log.info("W&B        %s", _place(run))
    return run


def _place(run: wandb.Run) -> str:
    """Where the data of a W&B run are, and how to send them if nothing has been sent."""
    if run.disabled:
        return "nothing is logged: its mode is disabled"
    if not run.offline:
        return str(run.url)
    folder = Path(run.dir).parent
    with suppress(ValueError):
        folder = folder.relative_to(Path.cwd())
    return f"offline; after the end, wandb sync {folder} sends it"


def _with_row(arguments: dict[str, Any], row: RowConfig, batch: int | None) -> dict[str, Any]:
    """The arguments of ``wandb.init`` for a row of a table; the runs of one table and budget are a W&B group.

    A run with another batch than the published one has a tag that says so.
    """
    other = [] if batch == row.batch else [f"batch {batch} instead of {row.batch}"]
    return {
        **arguments,
        "group": arguments.get("group") or f"{row.table}-{row.budget}",
        "job_type": row.name,
        "tags": [*(arguments.get("tags") or []), row.budget, *row.marks, *other],
        "notes": row.notes,
    }


def beside_published(result: Result) -> dict[str, float]:
    """The comparison of a row with the paper, for the W&B summary.

    It has the published numbers, and for each mIoU, in percent, this run's and the difference. Except at budget full,
    the last two carry the budget in their names, as in ``ours_mini/miou``.
    """
    row = result.row
    if not row:
        return {}
    ours = {"miou": result.miou, "crf_miou": result.crf_miou}
    values = {}
    for measure, value in row["published"].items():
        values[f"published/{measure}"] = value
        mine = ours.get(measure)
        if mine is not None:
            # smaller budgets have other data, so their numbers are not comparable with the paper's
            end = "" if row["budget"] == "full" else f"_{row['budget']}"
            values[f"ours{end}/{measure}"] = 100 * mine
            values[f"difference{end}/{measure}"] = 100 * mine - value
    return values


def log_to_wandb(experiment: wandb.Run, result: Result, matrix: NDArray[np.int64], labels: LabelSet, run: Run) -> None:
    """Log the result of a finished run to W&B: scores, confusion matrix, and artifacts with picture and checkpoint.

    Args:
        experiment: the W&B run.
        result: of the run.
        matrix: (C, C) numbers of pixels by true class (rows) and predicted class (columns).
        labels: the classes.
        run: the run directory.
    """
    import wandb

    known = [[name, None if iou is None or math.isnan(iou) else iou] for name, iou in result.per_class_iou.items()]
    ious = wandb.Table(columns=["class", "IoU"], data=known)
    cells = [
        [labels.names[truth], labels.names[guess], int(matrix[truth, guess])]
        for truth in range(len(labels))
        for guess in range(len(labels))
    ]
    counts = wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=cells)
    columns = {column: column for column in counts.columns}
    chart = wandb.plot_table("wandb/confusion_matrix/v1", counts, columns, {"title": "pixels by class"})
    experiment.log({"per_class_iou": ious, "confusion_matrix": chart})
    experiment.summary.update({name: getattr(result, name) for name in _SCALARS})
    if result.crf is not None:
        experiment.summary["crf/miou"] = result.crf["miou"]
    experiment.summary.update(beside_published(result))
    pictures = wandb.Artifact(f"predictions-{experiment.id}", type="predictions")
    pictures.add_file(str(run.folder / "pictures" / "validation.png"))
    experiment.log_artifact(pictures)
    if result.trained_by is not None:  # the checkpoint belongs to another run
        return
    artifact = wandb.Artifact(f"checkpoint-{experiment.id}", type="model", metadata={"miou": result.miou})
    # the file itself, not a copy of it: checkpoints of large networks are large
    artifact.add_file(str(run.best.resolve()), policy="immutable", skip_cache=True)
    experiment.log_artifact(artifact, aliases=["best"])

"""Loggers of a training: metrics.csv always, Weights & Biases and TensorBoard by choice."""

from __future__ import annotations

import csv
import math
import netrc
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from deeplab_lit.config.schemas import LoggerConfig, RowConfig, TrainConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing


class CsvLogger(Logger):
    """Logs metrics to a CSV file with one row for each step.

    A resumed run continues the file and neither misses nor repeats rows.

    Args:
        path: the file; rows that it already holds are kept.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._rows: dict[int, dict[str, Any]] = {}
        self._columns: list[str] = ["step"]
        self._written = -math.inf
        if self.path.is_file():
            with self.path.open(newline="") as file:
                for row in csv.DictReader(file):
                    self._add(int(row["step"]), {key: value for key, value in row.items() if value})

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def rewind(self, step: int) -> None:
        """Drop the rows after ``step``, which a run that resumes there computes again."""
        self._rows = {each: row for each, row in self._rows.items() if each <= step}

    def _add(self, step: int, values: Mapping[str, Any]) -> None:
        self._rows.setdefault(step, {}).update({**values, "step": step})
        self._columns += [key for key in values if key not in self._columns]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = {key: f"{value:.6g}" for key, value in metrics.items() if key != "epoch"}
        if step is not None and values:
            self._add(step, values)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Do nothing, since config.yaml in the run directory holds the config."""

    @rank_zero_only
    def save(self) -> None:
        """Write the file, at most every five seconds, since each write repeats all rows."""
        if time.monotonic() - self._written > 5:
            self.flush()

    @rank_zero_only
    def flush(self) -> None:
        """Write the file now."""
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(self._rows[step] for step in sorted(self._rows))
        self._written = time.monotonic()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.flush()


def wandb_is_configured() -> bool:
    """Whether W&B has a key (``WANDB_API_KEY`` or netrc) or a mode (``WANDB_MODE``), so that it does not prompt."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE"):
        return True
    for name in (".netrc", "_netrc"):
        try:
            if netrc.netrc(Path.home() / name).authenticators("api.wandb.ai"):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


@contextmanager
def open_loggers(choice: LoggerConfig | None, folder: Path, config: TrainConfig) -> Iterator[list[Logger]]:
    """The CSV logger, and those that the config group ``logger`` chooses. W&B's run is finished at the end.

    Args:
        choice: the config of the group; None: no logger.
        folder: the run directory.
        config: of the training, recorded with the run.

    Raises:
        UserError: TensorBoard is chosen but not installed, or a logger refuses its arguments.
    """
    if choice is None:
        yield []
        return
    loggers: list[Logger] = [CsvLogger(folder / "metrics.csv")]
    if choice.tensorboard is not None:
        from lightning.pytorch.loggers import TensorBoardLogger

        try:
            logger = TensorBoardLogger(folder, name="tensorboard", version="", **choice.tensorboard)
            _ = logger.experiment  # opens the file, which checks the arguments
            loggers.append(logger)
        except ModuleNotFoundError as error:
            raise UserError("logger=tensorboard needs a package: pip install tensorboard.") from error
        except TypeError as error:
            raise UserError(f"logger.tensorboard does not accept {choice.tensorboard}: {error}") from error
    if choice.wandb is None:
        yield loggers
        return
    loggers.append(_wandb(dict(choice.wandb), folder, config))
    import wandb

    failed = True
    try:
        yield loggers
        failed = False
    finally:
        # otherwise the next job of a multirun would continue this job's W&B run
        wandb.finish(exit_code=int(failed))


def _wandb(arguments: dict[str, Any], folder: Path, config: TrainConfig) -> Logger:
    # slow to import, so only where it is used
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    if config.row is not None:
        arguments = _with_row(arguments, config.row, config.global_batch_size)
    try:
        run = wandb.init(
            name=f"{config.name}/{folder.name}",
            dir=folder,
            # the id comes from the folder, so that a resumed run continues the same W&B run
            id="-".join(folder.parts[-2:])[-64:],
            resume="allow",
            mode=None if wandb_is_configured() else "offline",
            config=config.as_dict(),
            settings=wandb.Settings(silent=True),
            **arguments,
        )
    except TypeError as error:
        raise UserError(f"logger.wandb does not accept {arguments}: {error}") from error
    return WandbLogger(experiment=run)


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


def log_result(
    loggers: Sequence[Logger], result: Result, matrix: NDArray[np.int64], labels: LabelSet, run: Run
) -> None:
    """Log the result of a finished run to W&B: scores, confusion matrix, and artifacts with picture and checkpoint.

    Args:
        loggers: of the run; all but W&B's are skipped.
        result: of the run.
        matrix: (C, C) numbers of pixels by true class (rows) and predicted class (columns).
        labels: the classes.
        run: the run directory.
    """
    from lightning.pytorch.loggers import WandbLogger

    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
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
        logger.experiment.log({"per_class_iou": ious, "confusion_matrix": chart})
        scalars = ("miou", "pixel_accuracy", "mean_accuracy", "global_batch_size", "steps", "best_step", "seconds")
        logger.experiment.summary.update({name: getattr(result, name) for name in scalars})
        if result.crf is not None:
            logger.experiment.summary["crf/miou"] = result.crf["miou"]
        logger.experiment.summary.update(beside_published(result))
        pictures = wandb.Artifact(f"predictions-{logger.experiment.id}", type="predictions")
        pictures.add_file(str(run.folder / "pictures" / "validation.png"))
        logger.experiment.log_artifact(pictures)
        if result.trained_by is not None:  # the checkpoint belongs to another run
            continue
        artifact = wandb.Artifact(f"checkpoint-{logger.experiment.id}", type="model", metadata={"miou": result.miou})
        # the file itself, not a copy of it: checkpoints of large networks are large
        artifact.add_file(str(run.best.resolve()), policy="immutable", skip_cache=True)
        logger.experiment.log_artifact(artifact, aliases=["best"])

"""Loggers of a training: metrics.csv always, Weights & Biases and TensorBoard by choice."""

from __future__ import annotations

import csv
import math
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from deeplab_lit.config.schemas import LoggerConfig, TrainConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.training.guarded_logger import GuardedLogger, warn_without
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run
from deeplab_lit.training.wandb_run import log_to_wandb, start_wandb, wandb_folders
from deeplab_lit.utils.errors import Interrupted, UserError
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


@contextmanager
def open_loggers(choice: LoggerConfig | None, folder: Path, config: TrainConfig) -> Iterator[list[Logger]]:
    """The CSV logger, and those that the config group ``logger`` chooses. W&B's run is finished at the end.

    TensorBoard and W&B are guarded: where one of them fails, the run goes on without it.

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
        loggers += _tensorboard(choice.tensorboard, folder)
    if choice.wandb is None:
        yield loggers
        return
    with wandb_folders(folder), _wandb(dict(choice.wandb), folder, config) as found:
        yield [*loggers, *found]


def _tensorboard(arguments: Mapping[str, Any], folder: Path) -> list[Logger]:
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        logger = TensorBoardLogger(folder, name="tensorboard", version="", **arguments)
        _ = logger.experiment  # opens the file, which checks the arguments
    except ModuleNotFoundError as error:
        raise UserError("logger=tensorboard needs a package: pip install tensorboard.") from error
    except TypeError as error:
        raise UserError(f"logger.tensorboard does not accept {arguments}: {error}") from error
    except OSError as error:
        warn_without("TensorBoard", error)
        return []
    return [GuardedLogger(logger, "TensorBoard")]


@contextmanager
def _wandb(arguments: dict[str, Any], folder: Path, config: TrainConfig) -> Iterator[list[GuardedLogger]]:
    """W&B's logger, or none if W&B does not start."""
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        guarded = GuardedLogger(WandbLogger(experiment=start_wandb(arguments, folder, config)), "W&B")
    except (UserError, Interrupted):
        raise
    except Exception as error:
        warn_without("W&B", error)
        yield []
        return
    failed = True
    try:
        yield [guarded]
        failed = False
    finally:
        # otherwise the next job of a multirun would continue this job's W&B run
        guarded.attempt(wandb.finish, exit_code=int(failed))
        if guarded.failed:
            with suppress(Exception):  # otherwise W&B goes on catching what this process prints
                wandb.finish(exit_code=int(failed))
            with suppress(Exception):  # otherwise W&B raises the same at the end of the process
                wandb.teardown(exit_code=int(failed))


def log_result(
    loggers: Sequence[Logger], result: Result, matrix: NDArray[np.int64], labels: LabelSet, run: Run
) -> None:
    """Log the result of a finished run to W&B, if it is among the loggers; the arguments are those of
    :func:`deeplab_lit.training.wandb_run.log_to_wandb`."""
    from lightning.pytorch.loggers import WandbLogger

    for logger in loggers:
        if isinstance(logger, GuardedLogger) and isinstance(logger.inner, WandbLogger):
            logger.attempt(log_to_wandb, logger.inner.experiment, result, matrix, labels, run)

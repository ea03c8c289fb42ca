"""Collection of the results of a table's runs, by row and budget."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from deeplab_lit.config.compose import compose
from deeplab_lit.config.identity import deciding, differing
from deeplab_lit.config.paths import experiments_folder
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, read_config
from deeplab_lit.utils.errors import UserError

BUDGETS = ("full", "subset", "mini")
_CHANGED = "-changed"
MEASURES = {"miou": "mIoU", "crf_miou": "mIoU with CRF", "params": "parameters, M", "speed": "images/s"}
"""The measures that runs are compared by, with their titles; a row may have a published value of each."""

_OF_THE_MACHINE = (
    "seed", "start_run", "tf32", "trainer.precision", "trainer.accumulate_grad_batches", "data.root", "data.sbd",
    "init.path", "crf.engine",
)  # fmt: skip
"""Keys that decide a result but do not make it that of another row: the seed, the hardware, places of files."""


def changed(budget: str) -> str:
    """The name under which runs at a budget stand whose values are not the row's at that budget."""
    return f"{budget}{_CHANGED}"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a row.

    Attributes:
        run: the run directory.
        config: the resolved config.
        result: the content of result.json.
        departs: the values that are not the row's at its budget, such as ``max_steps=2 instead of 800``.
    """

    run: Run
    config: Mapping[str, Any]
    result: Result
    departs: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def budget(self) -> str:
        """The budget, or that of :func:`changed` for a run that departs from the row."""
        return changed(_budget(self.config)) if self.departs else _budget(self.config)

    @property
    def data(self) -> str:
        """The training data: the kind of data set, the name of its folder, the number of images."""
        words = [str(self.config["data"]["_target_"]).rsplit(".", 1)[-1]]
        if root := self.config["data"].get("root"):
            words.append(Path(root).name)
        if count := self.result.images:
            words.append(f"({count['train']})")
        return " ".join(words)

    @property
    def batch(self) -> str:
        """The images of a step, with the published number where the run departs from it."""
        decided = deciding(self.config)  # of earlier releases too, whose results lack the number
        departs = (self.result.row or {}).get("departs")
        return str(departs or self.result.global_batch_size or decided.get("global_batch_size", ""))

    def value(self, measure: str) -> float | None:
        """The value of a measure; None if it was not measured.

        mIoU is in percent, parameters are in millions, speed is in validation images a second.
        """
        result = self.result
        measured, factor = {
            "miou": (result.miou, 100.0),
            "crf_miou": (result.crf_miou, 100.0),
            "params": (result.params, 1e-6),
            "speed": (result.images_per_second, 1.0),
        }[measure]
        return None if measured is None else measured * factor


def _budget(config: Mapping[str, Any]) -> str:
    row = config["row"]
    return str(row["budget"] if "budget" in row else row["scale"])  # the key's name in earlier versions


@dataclass
class Row:
    """A row of a published table.

    Attributes:
        name, notes, marks, published, starts_from: the values of the row's file in experiments/.
        results: by budget, the finished runs, one for each seed.
        failures: by budget, the reason of a failure.
        begun: by budget, the steps done by a run that has not ended, such as ``412/800``.
        last_written: by budget, when that run last wrote its metrics, in seconds since 1970.
    """

    name: str
    notes: str
    marks: list[str]
    published: dict[str, float]
    starts_from: str = ""
    results: dict[str, list[FinishedRun]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    last_written: dict[str, float] = field(default_factory=dict)

    def status(self, budget: str) -> str:
        """``not run``, ``begun 412/800``, ``failed``, or ``done`` if a run has finished."""
        if self.results.get(budget):
            return "done"
        if budget in self.begun:
            return f"begun {self.begun[budget]}"
        return "failed" if budget in self.failures else "not run"

    def values(self, budget: str, measure: str) -> list[float]:
        """The values of a measure, one for each seed."""
        found = [each.value(measure) for each in self.results.get(budget, [])]
        return [each for each in found if each is not None]

    def mean(self, budget: str, measure: str) -> float | None:
        found = self.values(budget, measure)
        return statistics.fmean(found) if found else None

    def spread(self, budget: str, measure: str) -> float | None:
        """The standard deviation of a measure over the seeds; None for fewer than two seeds."""
        found = self.values(budget, measure)
        return statistics.stdev(found) if len(found) > 1 else None


@dataclass
class Report:
    """A published table and the runs of its rows."""

    table: str
    rows: list[Row]

    @property
    def budgets(self) -> list[str]:
        """The budgets at which a run has finished, begun or failed, and always ``full``.

        Behind each, that of :func:`changed` if there are such runs.
        """
        return [
            budget
            for each in BUDGETS
            for budget in (each, changed(each))
            if budget == "full" or any(row.status(budget) != "not run" for row in self.rows)
        ]

    @property
    def measures(self) -> list[str]:
        """The measures with a published value, and mIoU with and without the CRF if a run has it."""
        shown = {key for row in self.rows for key in row.published}
        shown |= {m for m in ("miou", "crf_miou") for row in self.rows for s in row.results if row.values(s, m)}
        return [measure for measure in MEASURES if measure in shown]

    def gain(self, index: int, value: Callable[[Row], float | None]) -> float | None:
        """How much higher the value of a row is than that of the row that it extends; None if one is missing.

        The extended row is the last row before it whose marks are a proper subset of its marks. In a table without
        marks it is the row before.

        Args:
            index: the index of the row.
            value: the value of a row.
        """
        row, now = self.rows[index], value(self.rows[index])
        no_marks = not any(each.marks for each in self.rows)
        for before in reversed(self.rows[:index]):
            if no_marks or set(before.marks) < set(row.marks):
                then = value(before)
                return None if now is None or then is None else now - then
        return None


def collect(table: str, rows: Sequence[Mapping[str, Any]], folder: Path) -> Report:
    """Read the runs of a table.

    Args:
        table: the name of the table.
        rows: the group ``row`` of each row's config.
        folder: the folder of the table's runs, with a folder for each row.

    Raises:
        UserError: a run with a result has no config.
    """
    found = [
        Row(
            str(each["name"]), str(each["notes"]), list(each["marks"]), dict(each["published"]),
            str(each["starts_from"] or "").rpartition("/")[2],
        )
        for each in rows
    ]  # fmt: skip
    for row in found:
        newest: dict[tuple[str, int], FinishedRun] = {}
        for path in sorted((folder / row.name).glob("*/result.json")):
            finished = _read(path, table, row.name)
            newest[finished.budget, finished.seed] = finished
        for (budget, _), finished in sorted(newest.items(), key=lambda item: item[0]):
            row.results.setdefault(budget, []).append(finished)
        for path in sorted((folder / row.name).glob("*/metrics.csv")):
            if not (path.parent / "result.json").is_file():
                config = read_config(Run(path.parent))
                budget = _budget(config)
                budget = changed(budget) if departures(config, _config_of(table, row.name, budget)) else budget
                row.begun[budget] = f"{_last_step(path)}/{config['max_steps']}"
                row.last_written[budget] = path.stat().st_mtime
    for budget in BUDGETS:
        path = folder / f"sweep-{budget}.json"
        for end in json.loads(path.read_text()) if path.is_file() else []:
            for row in found:
                if row.name == end["row"] and end["state"] == "failed":
                    row.failures[budget] = end["reason"]
                    for tried in (budget, changed(budget)):
                        if row.last_written.get(tried, 0.0) <= path.stat().st_mtime:  # not trained again since
                            row.begun.pop(tried, None)
    return Report(table, found)


def _last_step(path: Path) -> int:
    last = path.read_text().rstrip().rsplit("\n", 1)[-1].split(",")[0]
    return int(last) + 1 if last.isdigit() else 0


def departures(config: Mapping[str, Any], of_row: Mapping[str, Any]) -> list[str]:
    """The values of a run's config that are not the row's, such as ``max_steps=2 instead of 800``.

    Keys that one of the configs lacks are left out: the run may be of an earlier version.

    Args:
        config: the resolved config of the run.
        of_row: the resolved config of the row at the run's budget.
    """
    found = differing([of_row, config])
    return [
        f"{key}={_text(own)} instead of {_text(told)}"
        for key, (told, own) in found.items()
        if key not in _OF_THE_MACHINE and _holds(config, key) and _holds(of_row, key)
    ]


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _holds(config: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True


@cache
def _config_of(table: str, row: str, budget: str) -> dict[str, Any]:
    """The resolved config of a row at a budget, as the table has it; it needs a running Hydra program."""
    return compose([f"experiments={table}/{row}", f"budget={budget}"]).as_dict()


def _read(path: Path, table: str, row: str) -> FinishedRun:
    run = Run(path.parent)
    try:
        config = read_config(run)
        departs = departures(config, _config_of(table, row, _budget(config)))
        return FinishedRun(run, config, Result.read(path), tuple(departs))
    except OSError as error:
        raise UserError(
            f"{path.parent} has no config.yaml ({error}): remove the folder, and the row runs again."
        ) from error


def rows_of(table: str) -> list[dict[str, Any]]:
    """The group ``row`` of the config of each row of a table; it needs a running Hydra program."""
    sweep = OmegaConf.load(experiments_folder() / f"{table}.yaml")
    rows = [compose([f"experiments={table}/{name}"]).row for name in sweep.hydra.sweeper.rows]
    return [asdict(row) for row in rows if row is not None]

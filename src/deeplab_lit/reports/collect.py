"""Collection of the results of a table's runs, by row and budget."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from deeplab_lit.config.compose import compose
from deeplab_lit.config.identity import deciding
from deeplab_lit.config.paths import experiments_folder
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, read_config
from deeplab_lit.utils.errors import UserError

BUDGETS = ("full", "subset", "mini")
MEASURES = {"miou": "mIoU", "crf_miou": "mIoU with CRF", "params": "parameters, M", "speed": "images/s"}
"""The measures that runs are compared by, with their titles; a row may have a published value of each."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a row.

    Attributes:
        run: the run directory.
        config: the resolved config.
        result: the content of result.json.
    """

    run: Run
    config: Mapping[str, Any]
    result: Result

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def budget(self) -> str:
        return _budget(self.config)

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
        name, notes, marks, published: the values of the row's file in experiments/.
        results: by budget, the finished runs, one for each seed.
        failures: by budget, the reason of a failure.
        begun: by budget, the steps done by a run that has not ended, such as ``412/800``.
        last_written: by budget, when that run last wrote its metrics, in seconds since 1970.
    """

    name: str
    notes: str
    marks: list[str]
    published: dict[str, float]
    results: dict[str, list[FinishedRun]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    last_written: dict[str, float] = field(default_factory=dict)

    def status(self, budget: str) -> str:
        """``not run``, ``begun 412/800``, ``failed``, or the name of the budget if a run has finished."""
        if self.results.get(budget):
            return budget
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
        """The budgets at which a run has finished, begun or failed, and always ``full``."""
        return [
            budget
            for budget in BUDGETS
            if budget == "full" or any(row.status(budget) != "not run" for row in self.rows)
        ]

    @property
    def measures(self) -> list[str]:
        """The measures with a published value, and mIoU with and without the CRF if a run has it."""
        shown = {key for row in self.rows for key in row.published}
        shown |= {m for m in ("miou", "crf_miou") for row in self.rows for s in BUDGETS if row.values(s, m)}
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
    found = [Row(str(each["name"]), str(each["notes"]), list(each["marks"]), dict(each["published"])) for each in rows]
    for row in found:
        newest: dict[tuple[str, int], FinishedRun] = {}
        for path in sorted((folder / row.name).glob("*/result.json")):
            finished = _read(path)
            newest[finished.budget, finished.seed] = finished
        for (budget, _), finished in sorted(newest.items(), key=lambda item: item[0]):
            row.results.setdefault(budget, []).append(finished)
        for path in sorted((folder / row.name).glob("*/metrics.csv")):
            if not (path.parent / "result.json").is_file():
                config = read_config(Run(path.parent))
                row.begun[_budget(config)] = f"{_last_step(path)}/{config['max_steps']}"
                row.last_written[_budget(config)] = path.stat().st_mtime
    for budget in BUDGETS:
        path = folder / f"sweep-{budget}.json"
        for end in json.loads(path.read_text()) if path.is_file() else []:
            for row in found:
                if row.name == end["row"] and end["state"] == "failed":
                    row.failures[budget] = end["reason"]
                    if row.last_written.get(budget, 0.0) <= path.stat().st_mtime:  # not trained again since
                        row.begun.pop(budget, None)
    return Report(table, found)


def _last_step(path: Path) -> int:
    last = path.read_text().rstrip().rsplit("\n", 1)[-1].split(",")[0]
    return int(last) + 1 if last.isdigit() else 0


def _read(path: Path) -> FinishedRun:
    run = Run(path.parent)
    try:
        return FinishedRun(run, read_config(run), Result.read(path))
    except OSError as error:
        raise UserError(
            f"{path.parent} has no config.yaml ({error}): remove the folder, and the row runs again."
        ) from error


def rows_of(table: str) -> list[dict[str, Any]]:
    """The group ``row`` of the config of each row of a table; it needs a running Hydra program."""
    sweep = OmegaConf.load(experiments_folder() / f"{table}.yaml")
    rows = [compose([f"experiments={table}/{name}"]).row for name in sweep.hydra.sweeper.rows]
    return [asdict(row) for row in rows if row is not None]

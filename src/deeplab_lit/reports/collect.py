"""What the runs of a table came to, row by row and budget by budget."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from deeplab_lit.config.compose import compose
from deeplab_lit.config.paths import experiments_folder
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, read_config
from deeplab_lit.utils.errors import UserError

BUDGETS = ("full", "subset", "mini")
MEASURES = {"miou": "mIoU", "crf_miou": "mIoU with CRF", "params": "parameters, M", "speed": "images/s"}
"""What a row may have a published value of, and what runs are compared by."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a row.

    Attributes:
        run: its directory.
        config: resolved.
        result: what it came to.
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
        """What it was trained on: the kind of data set, the name of its folder, how many images."""
        words = [str(self.config["data"]["_target_"]).rsplit(".", 1)[-1]]
        if root := self.config["data"].get("root"):
            words.append(Path(root).name)
        if count := self.result.images:
            words.append(f"({count['train']})")
        return " ".join(words)

    def value(self, measure: str) -> float | None:
        """mIoU in percent, parameters in millions, validation images a second; None where it was not measured."""
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
    return str(row["budget"] if "budget" in row else row["scale"])  # as it was called before


@dataclass
class Row:
    """A row of a published table.

    Attributes:
        name, notes, marks, published: of its file in experiments/.
        results: by budget, one for each seed.
        failures: by budget, why it has none.
        begun: by budget, the steps done of a run that has not ended, ``412/800``.
    """

    name: str
    notes: str
    marks: list[str]
    published: dict[str, float]
    results: dict[str, list[FinishedRun]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    def status(self, budget: str) -> str:
        """``not run``, ``begun 412/800``, ``failed``, or the budget itself: full, subset or mini."""
        if self.results.get(budget):
            return budget
        if budget in self.begun:
            return f"begun {self.begun[budget]}"
        return "failed" if budget in self.failures else "not run"

    def values(self, budget: str, measure: str) -> list[float]:
        """One for each seed."""
        found = [each.value(measure) for each in self.results.get(budget, [])]
        return [each for each in found if each is not None]

    def mean(self, budget: str, measure: str) -> float | None:
        found = self.values(budget, measure)
        return statistics.fmean(found) if found else None

    def spread(self, budget: str, measure: str) -> float | None:
        """The standard deviation over seeds; None for one."""
        found = self.values(budget, measure)
        return statistics.stdev(found) if len(found) > 1 else None


@dataclass
class Report:
    """A published table with what has been run of it."""

    table: str
    rows: list[Row]

    @property
    def budgets(self) -> list[str]:
        """Those that something was run or tried at; full always, so that what is missing can be seen."""
        return [
            budget
            for budget in BUDGETS
            if budget == "full" or any(row.status(budget) != "not run" for row in self.rows)
        ]

    @property
    def measures(self) -> list[str]:
        """Those with a published value, and what runs have of mIoU."""
        shown = {key for row in self.rows for key in row.published}
        shown |= {m for m in ("miou", "crf_miou") for row in self.rows for s in BUDGETS if row.values(s, m)}
        return [measure for measure in MEASURES if measure in shown]

    def gain(self, index: int, value: Callable[[Row], float | None]) -> float | None:
        """How much more a row has than the one that it adds to: the last before it whose marks are among its own.

        In a table without marks that is the row before.
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
        table: its name.
        rows: the ``row`` of each row's config.
        folder: of the table's runs, with a folder for each row.

    Raises:
        UserError: a result cannot be read.
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
    for budget in BUDGETS:
        path = folder / f"sweep-{budget}.json"
        for end in json.loads(path.read_text()) if path.is_file() else []:
            for row in found:
                if row.name == end["row"] and end["state"] == "failed":
                    row.failures[budget] = end["reason"]
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
    """What the files of a table's rows say of the row, inside a running Hydra program."""
    sweep = OmegaConf.load(experiments_folder() / f"{table}.yaml")
    rows = [compose([f"experiments={table}/{name}"]).row for name in sweep.hydra.sweeper.rows]
    return [asdict(row) for row in rows if row is not None]

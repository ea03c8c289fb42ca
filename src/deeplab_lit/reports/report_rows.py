"""Report of a table: its rows, the runs of each by budget, and the gains between rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeplab_lit.config.identity import deciding
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run
from deeplab_lit.utils.over_seeds import OverSeeds

BUDGETS = ("full", "subset", "mini")
_CHANGED = "-changed"
MEASURES = {"miou": "mIoU", "crf_miou": "mIoU with CRF", "params": "parameters, M", "speed": "images/s"}
"""The measures that runs are compared by, with their titles; a row may have a published value of each."""


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
        return changed(budget_of(self.config)) if self.departs else budget_of(self.config)

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


def budget_of(config: Mapping[str, Any]) -> str:
    """The budget of a row's resolved config."""
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
        lacks: by budget, the marks that there is no data for, such as COCO.
        no_data: the budgets at which the row adds nothing else to a row before it.
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
    lacks: dict[str, set[str]] = field(default_factory=dict)
    no_data: set[str] = field(default_factory=set)

    def marks_at(self, budget: str) -> list[str]:
        """The marks that there is data for at a budget."""
        return [mark for mark in self.marks if mark not in self.lacks.get(budget, ())]

    def start_at(self, budget: str) -> str:
        """The row that it starts from at a budget; empty if it starts from none."""
        return "" if self.lacks.get(budget, set()) & set(self.marks) else self.starts_from

    def status(self, budget: str) -> str:
        """``no data``, ``not run``, ``begun 412/800``, ``failed``, or ``done`` if a run has finished."""
        if budget in self.no_data:
            return "no data"
        if self.results.get(budget):
            return "done"
        if budget in self.begun:
            return f"begun {self.begun[budget]}"
        return "failed" if budget in self.failures else "not run"

    @property
    def quality(self) -> str:
        """The measure of the row's gain: mIoU, with the CRF if the row has it."""
        return "crf_miou" if "CRF" in self.marks else "miou"

    def measured(self, budget: str, measure: str) -> OverSeeds | None:
        """The values of a measure by seed; None if it was not measured."""
        values = {run.seed: run.value(measure) for run in self.results.get(budget, [])}
        found = {seed: value for seed, value in values.items() if value is not None}
        return OverSeeds(found) if found else None


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
        shown |= {m for m in ("miou", "crf_miou") for row in self.rows for s in row.results if row.measured(s, m)}
        return [measure for measure in MEASURES if measure in shown]

    def extended(self, row: Row, budget: str = "full") -> Row | None:
        """The row that a row extends: the last row before it whose marks are a proper subset of its marks.

        In a table without marks it is the row before. Marks that a budget has no data for do not count.
        """
        no_marks = not any(each.marks for each in self.rows)
        before, own = self.rows[: self.rows.index(row)], set(row.marks_at(budget))
        known = [each for each in before if budget not in each.no_data]
        return next((each for each in reversed(known) if no_marks or set(each.marks_at(budget)) < own), None)

    def published_gain(self, row: Row, measure: str) -> float | None:
        """How much higher a row's published value is than that of the row that it extends; None if one is missing."""
        before = self.extended(row)
        if before is None or measure not in row.published:
            return None
        then = before.published.get(_of_extended(row, before, measure))
        return None if then is None else row.published[measure] - then

    @property
    def reference(self) -> str:
        """What the gain of a row is over."""
        return "the row that it extends"

    def has_gains(self, budget: str) -> bool:
        """Whether rows are compared with each other; runs that depart from their rows are not."""
        return budget in BUDGETS

    def gain(self, row: Row, budget: str, measure: str) -> OverSeeds | None:
        """How much higher a row's value is than that of the row that it extends, paired by seed.

        None if no seed has both, and where rows are not compared.
        """
        before = self.extended(row, budget)
        if before is None or not self.has_gains(budget):
            return None
        now, then = row.measured(budget, measure), before.measured(budget, _of_extended(row, before, measure))
        return None if now is None or then is None else now.over(then)

    def differences(self) -> list[list[str]]:
        """The differences of each two rows, in a report that has them.

        Of each: the name of the row and of the one before it, how much higher the row's mIoU is, the interval of that,
        the seeds that both have, and, if a row has a CRF, difference and interval with it.
        """
        return []


def _of_extended(row: Row, before: Row, measure: str) -> str:
    """The measure of the row ``before`` that one of ``row``, which extends it, is compared with.

    The row that adds the CRF is compared with the mIoU without it.
    """
    adds_crf = "CRF" in row.marks and "CRF" not in before.marks
    return "miou" if adds_crf and measure == "crf_miou" else measure

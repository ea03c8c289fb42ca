"""Report of a sweep that is no published table: a row for each combination of values, compared with the first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deeplab_lit.reports.collect import FinishedRun, Report, Row
from deeplab_lit.utils.over_seeds import OverSeeds

SWEEP = "sweep"
"""What stands in the place of a budget for the runs of a sweep."""


@dataclass
class SweepReport(Report):
    """The runs of a sweep. Its rows have no published numbers; each is compared with the first one."""

    @property
    def budgets(self) -> list[str]:
        return [SWEEP]

    @property
    def reference(self) -> str:
        return "the first row"

    def has_gains(self, budget: str) -> bool:
        return True

    def extended(self, row: Row, budget: str = SWEEP) -> Row | None:
        return None if row is self.rows[0] else self.rows[0]

    def differences(self) -> list[list[str]]:
        """The differences of each two rows; pairs without a common seed are left out."""
        found = []
        for before, row in itertools.combinations(self.rows, 2):
            over = [_over(row, before, measure) for measure in ("miou", "crf_miou")]
            cells = [cell for each in over for cell in ((each.as_gain, each.interval_text) if each else ("", ""))]
            if any(over):
                found.append([row.name, before.name, *cells])
        return found


def _over(row: Row, before: Row, measure: str) -> OverSeeds | None:
    now, then = row.measured(SWEEP, measure), before.measured(SWEEP, measure)
    return now.over(then) if now and then else None


def sweep_report(name: str, runs: Sequence[tuple[Mapping[str, str], FinishedRun | str]]) -> SweepReport:
    """The report of the runs of one command.

    Args:
        name: of the sweep.
        runs: of each training the values of the keys that differ in the sweep, as they were typed, and its finished
            run, or why it failed. Trainings whose values differ in the seed alone make one row.
    """
    told = [{key: value for key, value in each.items() if key != "seed"} for each, _ in runs]
    rows: dict[str, Row] = {}
    for called, (_, ended) in zip(_names(told), runs, strict=True):
        row = rows.setdefault(called, Row(called or name, "", [], {}))
        if isinstance(ended, str):
            row.failures[SWEEP] = ended
        else:
            row.results.setdefault(SWEEP, []).append(ended)
    return SweepReport(name, list(rows.values()))


def _names(told: Sequence[Mapping[str, str]]) -> list[str]:
    """The name of each training's row: its values, with the last words of their keys where these differ."""
    keys = list(dict.fromkeys(key for each in told for key in each))
    shown = {key: _shortened([each.get(key, "") for each in told]) for key in keys}
    lasts = [key.rpartition(".")[2] for key in keys]
    titles = lasts if len(set(lasts)) == len(keys) else keys
    return [
        " ".join(f"{title}={shown[key][place]}" for title, key in zip(titles, keys, strict=True))
        for place in range(len(told))
    ]


def _shortened(values: Sequence[str]) -> list[str]:
    """Values without the folders that all paths among them begin or end with."""
    parts = {value: value.split("/") for value in values if "/" in value}
    if len(parts) < 2:
        return list(values)
    first = _common(parts.values())
    last = _common([each[first:][::-1] for each in parts.values()])
    short = {value: "/".join(each[first : len(each) - last]) for value, each in parts.items()}
    return [short.get(value) or value for value in values] if all(short.values()) else list(values)


def _common(paths: Iterable[Sequence[str]]) -> int:
    """How many parts at the beginning all paths share."""
    return sum(1 for _ in itertools.takewhile(lambda each: len(set(each)) == 1, zip(*paths, strict=False)))

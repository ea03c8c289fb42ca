"""Report of a sweep that is no published table: a row for each combination of values, compared with the first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deeplab_lit.reports.report_rows import FinishedRun, Report, Row
from deeplab_lit.utils.over_seeds import OverSeeds

SWEEP = "sweep"
"""What stands in the place of a budget for the runs of a sweep."""
_MOST = 12


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
        """The differences of each two rows; of more than :data:`_MOST` rows, of each row and the first.

        Pairs without a common seed are left out.
        """
        pairs = list(itertools.combinations(self.rows, 2))
        if len(self.rows) > _MOST:
            pairs = [(self.rows[0], row) for row in self.rows[1:]]
        with_crf = any(row.measured(SWEEP, "crf_miou") for row in self.rows)
        found = []
        for before, row in pairs:
            miou, crf = (_over(row, before, measure) for measure in ("miou", "crf_miou"))
            if miou:
                cells = [row.name, before.name, miou.as_gain, miou.interval_text, " ".join(map(str, miou.values))]
                found.append([*cells, *([crf.as_gain, crf.interval_text] if crf else ["", ""] if with_crf else [])])
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
    rows: dict[tuple[tuple[str, str], ...], Row] = {}
    results: dict[str, dict[int, FinishedRun]] = {}
    for values, called, (typed, ended) in zip(told, _names(told), runs, strict=True):
        row = rows.setdefault(tuple(values.items()), Row(called or name, "", [], {}))
        if isinstance(ended, str):
            reason = ended.rstrip(".")
            of_seed = f"seed {typed['seed']}: {reason}" if "seed" in typed else reason
            row.failures[SWEEP] = "; ".join(filter(None, [row.failures.get(SWEEP), of_seed]))
        else:
            results.setdefault(row.name, {})[ended.seed] = ended
    for row in rows.values():
        if row.name in results:
            row.results[SWEEP] = [run for _, run in sorted(results[row.name].items())]
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
    """Values without the folders that all paths among them begin or end with, if they still differ then."""
    parts = {value: value.split("/") for value in values if "/" in value}
    if len(parts) < 2:
        return list(values)
    first = _common(parts.values())
    last = _common([each[first:][::-1] for each in parts.values()])
    short = {value: "/".join(each[first : len(each) - last]) for value, each in parts.items()}
    found = [short.get(value, value) for value in values]
    return found if all(short.values()) and len(set(found)) == len(set(values)) else list(values)


def _common(paths: Iterable[Sequence[str]]) -> int:
    """How many parts at the beginning all paths share."""
    return sum(1 for _ in itertools.takewhile(lambda each: len(set(each)) == 1, zip(*paths, strict=False)))

"""Remarks below a report's table: what its words and marks mean, and what is special of some rows."""

from __future__ import annotations

from deeplab_lit.reports.report_rows import BUDGETS, Report
from deeplab_lit.utils.over_seeds import NOISE

_STATES = {
    "done": "done: has a result",
    "begun": "begun 4/9: 4 of 9 steps are trained; it is running, or was stopped",
    "failed": "failed: the reason stands below",
    "not run": "not run: has no run at this budget",
    "no data": "no data: there is no data at this budget for what the row adds, and the rows after it go without",
}
PAIRED = (
    "paired by seed, as mean ± standard deviation of the differences; 95 % interval: of their mean (Student's t over "
    f"the seeds); {NOISE} within noise: the interval contains 0, or there is one seed, which has no interval "
    "(seed=0,1,2 runs three)"
)
"""What a gain or a difference is."""


def remarks(report: Report, budget: str) -> list[str]:
    """What stands below the table of a budget: what its words and marks mean, and what is special of some rows."""
    gains = budget in BUDGETS and any(report.gain(row, budget, row.quality) for row in report.rows)
    return [
        _legend(report, budget),
        *([f"gain: what a row has more than {report.reference}, {PAIRED}"] if gains else []),
        *starts(report, budget),
        *(left_out(report, budget) if budget in BUDGETS else []),
        *_departing(report, budget),
        *_failures(report, budget),
    ]


def _legend(report: Report, budget: str) -> str:
    """What the words in the column ``status`` mean, for those that are in it."""
    tried = [row for row in report.rows if report.has_gains(budget) or row.results.get(budget)]
    shown = {row.status(budget) for row in tried}
    return "status " + "; ".join(text for word, text in _STATES.items() if any(each.startswith(word) for each in shown))


def starts(report: Report, budget: str) -> list[str]:
    """A sentence for each training that several seeds of a row start from, which no deviation contains."""
    several = [row for row in report.rows if row.start_at(budget) and len(row.results.get(budget, [])) > 1]
    return [
        f"one training of {start} serves all seeds: deviations and intervals do not contain how another such training "
        "would differ"
        for start in dict.fromkeys(row.starts_from for row in several)
    ]


def left_out(report: Report, budget: str) -> list[str]:
    """A sentence for each gain that leaves out seeds, since only one of its two rows has them."""
    found = []
    for row in report.rows if report.has_gains(budget) else []:
        before = report.extended(row, budget)
        if before is None or not (row.results.get(budget) and before.results.get(budget)):
            continue
        now, then = ({run.seed for run in each.results[budget]} for each in (row, before))
        for name, alone in ((row.name, now - then), (before.name, then - now)):
            if alone:
                seeds = f"seed{'s' * (len(alone) > 1)} {', '.join(map(str, sorted(alone)))}"
                found.append(f"the gain of {row.name} leaves out {seeds}, which {name} alone has")
    return found


def _departing(report: Report, budget: str) -> list[str]:
    """A sentence for each row with runs that depart from it: the values that are not the row's."""
    departs = {row.name: dict.fromkeys(each for run in row.results.get(budget, []) for each in run.departs)
               for row in report.rows}  # fmt: skip
    return [f"{name} departs from the row: {'; '.join(values)}" for name, values in departs.items() if values]


def _failures(report: Report, budget: str) -> list[str]:
    """A sentence for each row that failed at a budget, and for each of a sweep of which a seed failed."""
    failed = [row for row in report.rows if budget in row.failures]
    told = [row for row in failed if row.status(budget) == "failed" or budget not in BUDGETS]
    return [f"{row.name} failed: {row.failures[budget]}" for row in told]

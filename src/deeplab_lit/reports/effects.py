"""Effects of the parts of a method, each over all settings of the other parts, for a table run as a factorial."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from deeplab_lit.reports.collect import BUDGETS, Report, Row

TITLES = ("part", "pairs", "mean gain", "lowest", "highest", "mean gain after the CRF")


@dataclass(frozen=True)
class Effect:
    """The gains of one part, in points of mIoU: of each row over the row that lacks this part alone.

    Attributes:
        part: the mark of the part, such as MSC.
        gains: gains in mIoU before the CRF; of the part CRF, its gains over the rows without it.
        crf_gains: gains in mIoU after the CRF; none for the part CRF.
    """

    part: str
    gains: list[float]
    crf_gains: list[float]

    def line(self) -> list[str]:
        """The cells of the effect in the columns :data:`TITLES`."""
        after = signed(statistics.fmean(self.crf_gains)) if self.crf_gains else ""
        numbers = (statistics.fmean(self.gains), min(self.gains), max(self.gains))
        return [self.part, str(len(self.gains)), *map(signed, numbers), after]


def signed(value: float | None) -> str:
    """A difference with its sign; no difference is ``+0.00``."""
    return "" if value is None else f"{round(value, 2) + 0.0:+.2f}"


def effects(report: Report, budget: str) -> list[Effect]:
    """The effect of each part, in the order of the rows.

    It is empty if no part varies in more than one setting, and for runs that depart from their rows.
    """
    if budget not in BUDGETS:
        return []
    parts = dict.fromkeys(mark for row in report.rows for mark in row.marks if mark != "CRF")
    found = []
    for part in parts:
        pairs = list(_pairs(report, part))
        found.append(Effect(part, _gains(pairs, budget, "miou"), _gains(pairs, budget, "crf_miou")))
    own = [(row.mean(budget, "miou"), row.mean(budget, "crf_miou")) for row in report.rows]
    found.append(Effect("CRF", [after - before for before, after in own if None not in (before, after)], []))  # type: ignore[operator]
    if all(len(each.gains) < 2 for each in found if each.part != "CRF"):
        return []
    return [each for each in found if each.gains]


def _pairs(report: Report, part: str) -> Iterator[tuple[Row, Row]]:
    without = {frozenset(row.marks): row for row in report.rows}
    for row in report.rows:
        before = without.get(frozenset(row.marks) - {part})
        if part in row.marks and before is not None:
            yield before, row


def _gains(pairs: list[tuple[Row, Row]], budget: str, measure: str) -> list[float]:
    values = [(before.mean(budget, measure), row.mean(budget, measure)) for before, row in pairs]
    return [after - before for before, after in values if before is not None and after is not None]

"""What each part of a method brings over all settings of the others, where a table has been run as a factorial."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from deeplab_lit.reports.collect import Report, Row

TITLES = ("part", "pairs", "mean gain", "lowest", "highest", "mean gain after the CRF")


@dataclass(frozen=True)
class Effect:
    """The gains, in points of mIoU, of rows over the rows that lack one part and are equal otherwise.

    Attributes:
        part: such as MSC.
        gains: before the CRF; of the CRF itself its own.
        crf_gains: after the CRF.
    """

    part: str
    gains: list[float]
    crf_gains: list[float]

    def line(self) -> list[str]:
        """Cells under :data:`TITLES`."""
        after = f"{statistics.fmean(self.crf_gains):+.2f}" if self.crf_gains else ""
        numbers = (statistics.fmean(self.gains), min(self.gains), max(self.gains))
        return [self.part, str(len(self.gains)), *(f"{number:+.2f}" for number in numbers), after]


def effects(report: Report, budget: str) -> list[Effect]:
    """The effect of each part, in the order of the rows; empty where no part was varied in more than one setting."""
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

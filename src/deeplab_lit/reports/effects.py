"""Effects of the parts of a method, each over all settings of the other parts, for a table run as a factorial."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deeplab_lit.reports.report_rows import Report, Row
from deeplab_lit.utils.over_seeds import OverSeeds, signed

TITLES = ("part", "settings", "mean gain", "95 % interval", "lowest", "highest", "after the CRF", "its interval")
GAIN_TITLES = ("mean gain", "after the CRF", "its interval")
ABOUT = "what each part brings, over all settings of the others (points of mIoU)"
LEGEND = (
    "mean gain: for each seed the mean over the settings of the other parts, then mean ± deviation and 95 % interval "
    "(Student's t) of these over the seeds; lowest, highest: of the settings' gains, each a mean over the seeds, which "
    "is no confidence interval; seeds that lack a setting are left out"
)


@dataclass(frozen=True)
class Effect:
    """The gains of one part, in points of mIoU: of each row over the row that lacks this part alone.

    The effect with one seed is the mean of its gains over the settings. The effect's interval is Student's t interval
    of that mean over the seeds: what another draw of seeds would change, with the same settings. The spread over the
    settings, from the lowest to the highest gain, says how much the part depends on the others. It is no confidence
    interval, and is the only spread there is with one seed.

    Attributes:
        part: the mark of the part, such as MSC.
        gains: by seed, in mIoU before the CRF, one for each setting; of the part CRF, over the rows without it.
        crf_gains: the same after the CRF; none for the part CRF.
    """

    part: str
    gains: Sequence[OverSeeds]
    crf_gains: Sequence[OverSeeds]

    def line(self) -> list[str]:
        """The cells of the effect in the columns :data:`TITLES`."""
        settings = [each.mean for each in self.gains]
        now, after = mean_gain(self.gains), mean_gain(self.crf_gains) if self.crf_gains else None
        return [
            self.part, str(len(settings)), now.as_gain, now.interval_text, signed(min(settings)), signed(max(settings)),
            after.as_gain if after else "", after.interval_text if after else "",
        ]  # fmt: skip


def mean_gain(gains: Sequence[OverSeeds]) -> OverSeeds:
    """For each seed, the mean over the settings, all of which have the same seeds."""
    return OverSeeds({seed: statistics.fmean(each.values[seed] for each in gains) for seed in gains[0].values})


def effects(report: Report, budget: str) -> list[Effect]:
    """The effect of each part, in the order of the rows.

    It is empty if no part varies in more than one setting, and for runs that depart from their rows.
    """
    if not report.has_gains(budget):
        return []
    parts = dict.fromkeys(mark for row in report.rows for mark in row.marks if mark != "CRF")
    found = []
    for part in parts:
        pairs = list(_pairs(report, part))
        found.append(Effect(part, *(_gains(pairs, budget, measure, measure) for measure in ("miou", "crf_miou"))))
    found.append(Effect("CRF", _gains([(row, row) for row in report.rows], budget, "miou", "crf_miou"), []))
    if all(len(each.gains) < 2 for each in found if each.part != "CRF"):
        return []
    return [each for each in found if each.gains]


def _pairs(report: Report, part: str) -> Iterator[tuple[Row, Row]]:
    without = {frozenset(row.marks): row for row in report.rows}
    for row in report.rows:
        before = without.get(frozenset(row.marks) - {part})
        if part in row.marks and before is not None:
            yield before, row


def _gains(pairs: Iterable[tuple[Row, Row]], budget: str, before: str, after: str) -> list[OverSeeds]:
    """The gains of pairs of rows, from the measure ``before`` of the one to ``after`` of the other."""
    values = [(one.measured(budget, before), other.measured(budget, after)) for one, other in pairs]
    gains = [now.over(then) for then, now in values if then is not None and now is not None]
    return _complete([each for each in gains if each is not None])


def _complete(gains: Sequence[OverSeeds]) -> list[OverSeeds]:
    """The gains in the most settings that one seed has, with the seeds that have all of these."""
    of_seed: dict[int, set[int]] = {}
    for setting, each in enumerate(gains):
        for seed in each.values:
            of_seed.setdefault(seed, set()).add(setting)
    if not of_seed:
        return []
    most = max((of_seed[seed] for seed in sorted(of_seed)), key=len)
    seeds = [seed for seed in sorted(of_seed) if of_seed[seed] == most]
    return [OverSeeds({seed: gains[setting].values[seed] for seed in seeds}) for setting in sorted(most)]

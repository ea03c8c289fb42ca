"""Picture of a report as SVG: its numbers, and each gain drawn as a point with its interval (a forest plot)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from deeplab_lit.reports.remarks import left_out, starts
from deeplab_lit.reports.report_rows import BUDGETS, Report, Row
from deeplab_lit.reports.tables import about
from deeplab_lit.utils.over_seeds import NOISE, OverSeeds, signed

_WIDTH, _MARGIN, _GAP, _LINE = 900.0, 20.0, 16.0, 24.0
_PLOT = 160.0  # the least width of the drawn gains
_CHARACTER = 6.9  # pixels of a wide font of 12 pixels
_OURS, _PUBLISHED = "#2a6fdb", "#c4620a"  # seen on white and on black
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
_TITLES = ("row", "with", "mIoU published", "mIoU ours", "seeds", "gain published", "gain ours")
_LEFT = ("row", "with", "gain ours")
_LEGEND = (
    "Ours: mIoU in percent, mean ± standard deviation over the seeds. Gain: what a row has more than {reference}, "
    "paired by seed, with the 95 % interval of the mean (Student's t; an arrow: it goes on). "
    f"{NOISE} and a hollow point: within noise, since the interval contains 0 or there is one seed."
)
_OTHER_DATA = "The published numbers are of other data and longer trainings."
_NOT_RUN = "No row has a finished run at its own values."


@dataclass(frozen=True)
class _Line:
    """A line of the picture: the cells in the columns :data:`_TITLES`, and the gains that are drawn."""

    cells: tuple[str, ...]
    published: float | None
    gain: OverSeeds | None


@dataclass(frozen=True)
class _Column:
    """A column of cells; each word of its title stands on a line of its own."""

    title: str
    cells: list[str]

    @property
    def width(self) -> float:
        return _CHARACTER * max(map(len, [*self.title.split(), *self.cells]))


@dataclass(frozen=True)
class _Axis:
    """The horizontal axis of the drawn gains: ``low`` lies at ``left``, ``high`` at ``right``."""

    low: float
    high: float
    left: float
    right: float

    def place(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)

    def ticks(self) -> list[float]:
        steps = [factor * 10.0**power for power in range(-2, 4) for factor in (1, 2, 5)]
        step = next(each for each in steps if (self.high - self.low) / each <= 6)
        return [i * step for i in range(int(self.low / step) - 1, int(self.high / step) + 2)
                if self.low <= i * step <= self.high]  # fmt: skip


def as_svg(report: Report) -> str:
    """The picture of a table for a README: a file of its own, on white, with a part for each budget that was run."""
    run = [each for each in report.budgets if report.has_gains(each) and any(r.results.get(each) for r in report.rows)]
    drawn: list[str] = []
    top = _MARGIN
    for budget in run or ["full"]:
        title = f"{report.table}, {budget}: {about(budget)}"
        drawn.append(_text(_MARGIN, top + 14, title, size=15, weight="600"))
        parts, top = _part(report, budget, _TITLES, top + 42)
        remarks = [each[0].upper() + each[1:] + "." for each in (*starts(report, budget), *left_out(report, budget))]
        told = [_OTHER_DATA] if budget in BUDGETS[1:] else []
        notes, top = _notes([*(told if run else [_NOT_RUN]), *remarks], top)
        drawn += [*parts, *notes]
        top += 20
    notes, top = _notes([_LEGEND.format(reference=report.reference)], top)
    drawn += notes
    top += 16
    paper = (
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1:g}" height="{top - 1:g}" rx="6" fill="#ffffff" stroke="#d0d7de"/>'
    )
    return _svg([paper, *drawn], top, report.table, ' color="#1f2328"') + "\n"


def gains_chart(report: Report, budget: str) -> str:
    """The gains of one budget with their intervals, in the colours of the page; empty if there are none."""
    if not any(line.gain for line in _lines(report, budget)):
        return ""
    drawn, bottom = _part(report, budget, ("row", "gain ours"), 16.0)
    return _svg(drawn, bottom + 8, f"Gains at {budget}")


def _notes(sentences: Sequence[str], top: float) -> tuple[list[str], float]:
    """Small lines of text below ``top``, and where they end."""
    lines = [line for each in sentences for line in textwrap.wrap(each, 148)]
    drawn = [_text(_MARGIN, top + 15 * number, line, size=11, opacity=0.75) for number, line in enumerate(lines, 1)]
    return drawn, top + 15 * len(lines)


def _svg(drawn: Sequence[str], height: float, title: str, more: str = "") -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" width="{_WIDTH:g}" '
        f'height="{height:g}" viewBox="0 0 {_WIDTH:g} {height:g}" font-family="{_FONT}" font-size="12"{more}>\n'
        + "\n".join(drawn)
        + "\n</svg>"
    )


def _lines(report: Report, budget: str) -> list[_Line]:
    """A line for each row, and one more for its mIoU with the CRF where the row has it besides."""
    found = []
    for row in report.rows:
        measures = [row.quality]
        if row.quality == "miou" and ("crf_miou" in row.published or row.measured(budget, "crf_miou")):
            measures.append("crf_miou")
        found += [_line(report, row, budget, measure) for measure in measures]
    return found


def _line(report: Report, row: Row, budget: str, measure: str) -> _Line:
    ours, gain, published = row.measured(budget, measure), report.gain(row, budget, measure), row.published.get(measure)
    published_gain = report.published_gain(row, measure)
    cells = (
        row.name if measure == row.quality else f"{row.name}, with CRF",
        " ".join(row.marks_at(budget)),
        "" if published is None else f"{published:.2f}",
        str(ours or ""),
        str(len(ours.values)) if ours else "",
        signed(published_gain),
        gain.as_gain if gain else "",
    )
    return _Line(cells, published_gain, gain)


def _part(report: Report, budget: str, titles: Sequence[str], top: float) -> tuple[list[str], float]:
    """The lines of a budget below ``top``: the columns of these titles and, right of them, the drawn gains.

    Returns:
        The elements, and where they end.
    """
    lines, drawn, left = _lines(report, budget), [], _MARGIN
    bottom = top + _LINE * (len(lines) + 1)
    for number in range(0, len(lines), 2):
        drawn.append(
            f'<rect x="{_MARGIN / 2:g}" y="{top + _LINE * (number + 1):g}" width="{_WIDTH - _MARGIN:g}" '
            f'height="{_LINE:g}" fill="currentColor" fill-opacity="0.05"/>'
        )
    shown = _columns(lines, titles)
    if sum(each.width + _GAP for each in shown) > _WIDTH - 2 * _MARGIN - _PLOT:  # the row's name says it too
        shown = [each for each in shown if each.title != "with"]
    for column in shown:
        place, anchor = (left, "start") if column.title in _LEFT else (left + column.width, "end")
        for number, word in enumerate(reversed(column.title.split())):
            drawn.append(_text(place, top + 16 - 15 * number, word, anchor=anchor, weight="600"))
        for number, cell in enumerate(column.cells, 1):
            if cell:
                drawn.append(_text(place, top + _LINE * number + 16, cell, anchor=anchor))
        left += column.width + _GAP
    axis = _axis(lines, left, _WIDTH - _MARGIN - 10)
    if axis is None:
        return drawn, bottom + 4
    drawn += _scale(axis, top + _LINE, bottom)
    for number, line in enumerate(lines, 1):
        drawn += _drawn(line, axis, top + _LINE * (number + 0.5))
    return drawn + _key(bottom + 34, any(line.published is not None for line in lines)), bottom + 44


def _columns(lines: Sequence[_Line], titles: Sequence[str]) -> list[_Column]:
    """The columns of these titles that have a cell."""
    found = [_Column(title, [line.cells[_TITLES.index(title)] for line in lines]) for title in titles]
    return [each for each in found if any(each.cells)]


def _axis(lines: Sequence[_Line], left: float, right: float) -> _Axis | None:
    """The axis that has all gains, published and ours, and 0; a long interval may leave it. None without gains."""
    points = [line.published for line in lines if line.published is not None]
    points += [line.gain.mean for line in lines if line.gain]
    if not points:
        return None
    low, high = min(0.0, *points), max(0.0, *points)
    room = 0.75 * max(high - low, 0.1)
    intervals = [line.gain.interval for line in lines if line.gain and line.gain.interval]
    ends = [low, high, *(end for each in intervals for end in each)]
    low, high = max(min(ends), low - room), min(max(ends), high + room)
    margin = 0.05 * max(high - low, 1.0)
    return _Axis(low - margin, high + margin, left, right)


def _scale(axis: _Axis, top: float, bottom: float) -> list[str]:
    found = [
        f'<line x1="{axis.left:g}" x2="{axis.right:g}" y1="{bottom:g}" y2="{bottom:g}" stroke="currentColor" '
        'stroke-opacity="0.5"/>'
    ]
    for tick in axis.ticks():
        place, dashes = axis.place(tick), "" if abs(tick) < 1e-9 else ' stroke-dasharray="2 4"'
        found.append(
            f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{top:g}" y2="{bottom:g}" stroke="currentColor" '
            f'stroke-opacity="{0.25 if dashes else 0.8}"{dashes}/>'
        )
        found.append(_text(place, bottom + 14, f"{tick + 0.0:+g}" if dashes else "0", anchor="middle", size=11))
    return found


def _drawn(line: _Line, axis: _Axis, y: float) -> list[str]:
    """The gains of one line: the published one as a diamond, ours as a disc with its interval, hollow if noise."""
    found = []
    if line.gain is not None:
        x = axis.place(line.gain.mean)
        for end, mean_side in zip(line.gain.interval or (), (x - 5, x + 5), strict=False):
            inside = min(max(end, axis.low), axis.high)
            place = axis.place(inside)
            if abs(place - x) > 5:
                found.append(_stroke(f"M{mean_side:.1f} {y:g}H{place:.1f}"))
            way = 5 if place < x else -5  # an arrow's head where the interval leaves the axis, else its end
            cap = f"M{place:.1f} {y - 4:g}v8" if inside == end else f"M{place + way:.1f} {y - 5:g}l{-way} 5l{way} 5"
            found.append(_stroke(cap))
        fill = "none" if line.gain.within_noise else _OURS
        found.append(
            f'<circle class="ours" cx="{x:.1f}" cy="{y:g}" r="4" fill="{fill}" stroke="{_OURS}" stroke-width="2"/>'
        )
    if line.published is not None:
        found.append(_diamond(axis.place(line.published), y))
    return found


def _key(y: float, published: bool) -> list[str]:
    """What the marks mean, at the right of the line ``y``."""
    found, x = [], _WIDTH - _MARGIN - 355
    for name, fill, width in (("ours, 95 % interval", _OURS, 150.0), ("within noise", "none", 115.0)):
        found.append(_stroke(f"M{x - 13:g} {y - 4:g}H{x - 5:g}M{x + 5:g} {y - 4:g}H{x + 13:g}"))
        found.append(f'<circle cx="{x:g}" cy="{y - 4:g}" r="4" fill="{fill}" stroke="{_OURS}" stroke-width="2"/>')
        found.append(_text(x + 18, y, name, size=11))
        x += width
    return [*found, _diamond(x, y - 4, None), _text(x + 12, y, "published", size=11)] if published else found


def _stroke(path: str) -> str:
    return f'<path d="{path}" stroke="{_OURS}" stroke-width="2" fill="none"/>'


def _diamond(x: float, y: float, name: str | None = "published") -> str:
    of = f' class="{name}"' if name else ""
    return f'<path{of} d="M{x:.1f} {y - 6:g}l6 6l-6 6l-6 -6z" fill="none" stroke="{_PUBLISHED}" stroke-width="2"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: float = 12, weight: str = "400", opacity: float = 1
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" font-weight="{weight}" '
        f'fill="currentColor" fill-opacity="{opacity:g}">{escape(text)}</text>'
    )

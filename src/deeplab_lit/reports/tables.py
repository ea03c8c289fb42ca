"""Tables of a report: in the terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from deeplab_lit.reports.effects import ABOUT as ABOUT_EFFECTS
from deeplab_lit.reports.effects import GAIN_TITLES, effects
from deeplab_lit.reports.effects import LEGEND as EFFECTS_LEGEND
from deeplab_lit.reports.effects import TITLES as EFFECT_TITLES
from deeplab_lit.reports.remarks import PAIRED, remarks
from deeplab_lit.reports.report_rows import BUDGETS, MEASURES, Report, Row, changed
from deeplab_lit.reports.sweep_report import SWEEP
from deeplab_lit.utils.over_seeds import OverSeeds, signed
from deeplab_lit.utils.terminal import paragraph, table

TEXT_COLUMNS = ("row", "over", "with", "starts from", "data", "status", "part")
DIFFERENCE_TITLES = ("row", "over", "difference", "95 % interval", "seeds", "with CRF", "its interval")
ABOUT_DIFFERENCES = "each two rows (points of mIoU)"
DIFFERENCES_LEGEND = (
    f"difference: what a row has more than the one in the column over, {PAIRED}; if all rows were equal in truth, one "
    "interval of twenty would not contain 0"
)
GAIN_COLUMNS = (
    *(f"gain: {budget}" for budget in BUDGETS), "95 % interval", *GAIN_TITLES, "difference", "with CRF",
)  # fmt: skip
"""The columns of gains and intervals, which are aligned to the left, since some have a mark behind them."""
_LEFT = (*TEXT_COLUMNS, *GAIN_COLUMNS)
NUMBERS = (
    "published", "ours", "spread", "difference",
    "gain_published", "gain_ours", "gain_deviation", "gain_low", "gain_high",
)  # fmt: skip
"""The columns of :func:`cells` that hold numbers."""
_TOGETHER = ("gain: published", *GAIN_COLUMNS)
_QUALITY = ("miou", "crf_miou")
_HOW = ("seeds", "batch", "iterations", "data", "starts from", "status")
ABOUT_BUDGETS = {
    "full": "the papers' data, crops and iterations",
    "subset": "part of the real data",
    "mini": "the embedded data",
}


def about(budget: str) -> str:
    """What a budget is, or what the runs of :func:`deeplab_lit.reports.collect.changed` are."""
    if budget in ABOUT_BUDGETS:
        return ABOUT_BUDGETS[budget]
    if budget == SWEEP:
        return "the trainings of one command"
    return f"rows with other values than theirs at budget={budget.removesuffix(changed(''))}"


def cells(report: Report) -> list[dict[str, str]]:
    """Every cell of the table: a dict for each row, measure and budget; the keys are the CSV's columns."""
    found = []
    for row in report.rows:
        for measure in report.measures:
            if measure not in row.published and not any(row.measured(budget, measure) for budget in report.budgets):
                continue
            for budget in report.budgets:
                ours = row.measured(budget, measure)
                found.append(
                    {
                        "table": report.table,
                        "row": row.name,
                        "marks": " ".join(row.marks_at(budget)),
                        "measure": MEASURES[measure],
                        "published": _number(row.published.get(measure)),
                        "budget": budget,
                        "status": row.status(budget),
                        "ours": _number(ours.mean if ours else None),
                        "spread": _number(ours.deviation if ours else None),
                        # other budgets use other data than the paper
                        "difference": signed(_difference(row, measure)) if budget == "full" else "",
                        "gain_published": signed(report.published_gain(row, measure)),
                        **_gain_cells(report.gain(row, budget, measure)),
                        **_about(row, budget),
                    }
                )
    return found


def _gain_cells(gain: OverSeeds | None) -> dict[str, str]:
    names = ("gain_ours", "gain_deviation", "gain_low", "gain_high", "gain_seeds", "within_noise")
    if gain is None:
        return dict.fromkeys(names, "")
    low, high = gain.interval or (None, None)
    seeds = " ".join(map(str, gain.values))
    values = (signed(gain.mean), _number(gain.deviation), signed(low), signed(high), seeds,
              "yes" if gain.within_noise else "no")  # fmt: skip
    return dict(zip(names, values, strict=True))


def _about(row: Row, budget: str) -> dict[str, str]:
    results = row.results.get(budget, [])
    return {
        "seeds": " ".join(str(each.seed) for each in results),
        "batch": "; ".join(sorted({each.batch for each in results})),
        "iterations": " ".join(sorted({str(each.result.steps) for each in results})),
        "data": "; ".join(sorted({each.data for each in results})),
        "starts_from": row.start_at(budget),
        "departs": "; ".join(dict.fromkeys(each for run in results for each in run.departs)),
        "note": row.failures.get(budget, "") if row.status(budget) == "failed" else row.notes,
    }


def as_csv(report: Report) -> str:
    """All cells as CSV, one a line."""
    found = cells(report)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(found[0]) if found else ["table"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return file.getvalue()


def lines(report: Report, budget: str) -> tuple[list[str], list[list[str]]]:
    """The titles and the lines of the table of one budget, without columns that are empty.

    Values before and after the CRF share a cell, ``a / b``. Runs that depart from their rows stand without published
    numbers, differences and gains, and rows without such a run are left out.
    """
    full, compared, published = budget == "full", report.has_gains(budget), budget in BUDGETS
    found = []
    for row in report.rows:
        if not compared and row.status(budget) == "not run":
            continue
        line = {"row": row.name, "with": " ".join(row.marks_at(budget))}
        for group in [*((measure,) for measure in report.measures if measure not in _QUALITY), _QUALITY]:
            title = MEASURES[group[0]]
            if published:
                line[f"{title}: published"] = _pair(_number(row.published.get(measure)) for measure in group)
            ours = budget if published else title
            line[f"{title}: {budget}" if ours in line else ours] = _pair(
                str(row.measured(budget, measure) or "") for measure in group
            )
            if full:
                line[f"{title}: difference"] = _pair(signed(_difference(row, measure)) for measure in group)
        if published:
            gain = report.gain(row, budget, row.quality)
            line["gain: published"] = signed(report.published_gain(row, row.quality))
            line[f"gain: {budget}"] = gain.as_gain if gain else ""
            line["95 % interval"] = gain.interval_text if gain else ""
        facts = _about(row, budget)
        line |= {name: facts[name] for name in ("seeds", "batch", "iterations", "data")}
        found.append(line | {"starts from": facts["starts_from"], "status": row.status(budget)})
    titles = [title for title in found[0] if any(line[title] for line in found)]
    return titles, [[line[title] for title in titles] for line in found]


def _pair(values: Iterable[str]) -> str:
    return " / ".join(value for value in values if value)


def _difference(row: Row, measure: str) -> float | None:
    ours, published = row.measured("full", measure), row.published.get(measure)
    return None if ours is None or published is None else ours.mean - published


def as_markdown(report: Report) -> str:
    """The report as Markdown, for a page or an issue."""
    return "\n".join([f"## {report.table}", *(budget_markdown(report, budget) for budget in report.budgets)])


def budget_markdown(report: Report, budget: str) -> str:
    """The table of one budget as Markdown, with its remarks and effects."""
    titles, found = lines(report, budget)
    text = ["", f"### {budget}: {about(budget)}", "", *_markdown(titles, found), ""]
    text += [line for each in remarks(report, budget) for line in (f"{each.rstrip('.')}.", "")]
    text += [line for each in effects_markdown(report, budget) for line in (each, "")]
    if found := report.differences():
        shown = _markdown(DIFFERENCE_TITLES[: len(found[0])], found)
        text += [f"{ABOUT_DIFFERENCES}:", "", *shown, "", f"{DIFFERENCES_LEGEND}.", ""]
    return "\n".join(text)


def effects_markdown(report: Report, budget: str) -> list[str]:
    """What each part brings in a table that is a factorial, as paragraphs of Markdown; none for other tables."""
    brought = [each.line() for each in effects(report, budget)]
    return [f"{ABOUT_EFFECTS}:", "\n".join(_markdown(EFFECT_TITLES, brought)), f"{EFFECTS_LEGEND}."] if brought else []


def measured_markdown(report: Report, budget: str) -> str:
    """The table of one budget as Markdown, without the columns that say how a row was run."""
    titles, found = lines(report, budget)
    kept = [i for i, title in enumerate(titles) if title not in _HOW]
    return "\n".join(_markdown([titles[i] for i in kept], [[line[i] for i in kept] for line in found]))


def published_markdown(report: Report) -> str:
    """The published numbers of the rows as a Markdown table."""
    measures = [measure for measure in report.measures if any(measure in row.published for row in report.rows)]
    titles = ["row", "with", *(MEASURES[measure] for measure in measures), "note"]
    rows = [
        [row.name, " ".join(row.marks), *(_number(row.published.get(measure)) for measure in measures), row.notes]
        for row in report.rows
    ]
    return "\n".join(_markdown(titles, rows))


def _markdown(titles: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (titles, ["---"] * len(titles), *table)]


def as_tables(report: Report) -> Iterator[str]:
    """The tables for the terminal, one for each budget with a run, and a line for each budget without."""
    for budget in report.budgets:
        if all(row.status(budget) == "not run" for row in report.rows):
            yield paragraph(f"{report.table}, {budget} ({about(budget)}): not run") + "\n"
            continue
        titles, found = lines(report, budget)
        yield table(titles, found, _LEFT, f"{report.table}, {budget}: {about(budget)}", _TOGETHER)
        yield "\n".join(map(paragraph, remarks(report, budget))) + "\n"
        if brought := effects(report, budget):
            found = [each.line() for each in brought]
            yield table(EFFECT_TITLES, found, _LEFT, ABOUT_EFFECTS, _TOGETHER)
            yield paragraph(EFFECTS_LEGEND) + "\n"
        if found := report.differences():
            yield table(DIFFERENCE_TITLES[: len(found[0])], found, _LEFT, ABOUT_DIFFERENCES)
            yield paragraph(DIFFERENCES_LEGEND) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

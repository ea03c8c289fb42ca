"""Tables of a report: in the terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table

from deeplab_lit.reports.collect import MEASURES, Report, Row
from deeplab_lit.reports.effects import TITLES as EFFECT_TITLES
from deeplab_lit.reports.effects import effects

TEXT_COLUMNS = ("row", "with", "data", "status", "part")
_QUALITY = ("miou", "crf_miou")
ABOUT_BUDGETS = {
    "full": "the papers' data, crops and iterations",
    "subset": "part of the real data",
    "mini": "the embedded data",
}
ABOUT_EFFECTS = "what each part brings, over all settings of the others (points of mIoU)"


def cells(report: Report) -> list[dict[str, str]]:
    """Every cell of the table: a dict for each row, measure and budget; the keys are the CSV's columns."""
    found = []
    for index, row in enumerate(report.rows):
        for measure in report.measures:
            if measure not in row.published and not any(row.values(budget, measure) for budget in report.budgets):
                continue
            paper = report.gain(index, lambda each, m=measure: each.published.get(m))  # type: ignore[misc]
            for budget in report.budgets:
                gain = report.gain(index, lambda each, s=budget, m=measure: each.mean(s, m))  # type: ignore[misc]
                found.append(
                    {
                        "table": report.table,
                        "row": row.name,
                        "marks": " ".join(row.marks),
                        "measure": MEASURES[measure],
                        "published": _number(row.published.get(measure)),
                        "budget": budget,
                        "status": row.status(budget),
                        "ours": _number(row.mean(budget, measure)),
                        "spread": _number(row.spread(budget, measure)),
                        # other budgets use other data than the paper
                        "difference": _signed(_difference(row, measure)) if budget == "full" else "",
                        "gain_published": _signed(paper),
                        "gain_ours": _signed(gain),
                        **_about(row, budget),
                    }
                )
    return found


def _about(row: Row, budget: str) -> dict[str, str]:
    results = row.results.get(budget, [])
    return {
        "seeds": " ".join(str(each.seed) for each in results),
        "batch": "; ".join(sorted({each.batch for each in results})),
        "iterations": " ".join(sorted({str(each.result.steps) for each in results})),
        "data": "; ".join(sorted({each.data for each in results})),
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
    """The titles and the lines of the table of one budget. Values before and after the CRF share a cell, ``a / b``."""
    full = budget == "full"
    others = [measure for measure in report.measures if measure not in _QUALITY]
    titles = ["row", "with"]
    for title in [MEASURES[measure] for measure in others] + ["mIoU"]:
        titles += [f"{title}: published", budget, *(["difference"] if full else [])]
    titles += ["gain: published", f"gain: {budget}", "seeds", "batch", "iterations", "data", "status"]
    found = []
    for index, row in enumerate(report.rows):
        line = [row.name, " ".join(row.marks)]
        for group in [*((measure,) for measure in others), _QUALITY]:
            line.append(_pair(_number(row.published.get(measure)) for measure in group))
            line.append(_pair(_with_spread(row, budget, measure) for measure in group))
            if full:
                line.append(_pair(_signed(_difference(row, measure)) for measure in group))
        line.append(_signed(report.gain(index, _best_published)))
        line.append(_signed(report.gain(index, lambda each: _best(each, budget))))
        about = _about(row, budget)
        facts = [about[name] for name in ("seeds", "batch", "iterations", "data")]
        found.append([*line, *facts, row.status(budget)])
    return titles, found


def _pair(values: Iterable[str]) -> str:
    return " / ".join(value for value in values if value)


def _with_spread(row: Row, budget: str, measure: str) -> str:
    mean, spread = row.mean(budget, measure), row.spread(budget, measure)
    return _number(mean) + ("" if spread is None else f" ± {_number(spread)}")


def _difference(row: Row, measure: str) -> float | None:
    ours, published = row.mean("full", measure), row.published.get(measure)
    return None if ours is None or published is None else ours - published


def _best_published(row: Row) -> float | None:
    return row.published.get("crf_miou" if "CRF" in row.marks else "miou")


def _best(row: Row, budget: str) -> float | None:
    return row.mean(budget, "crf_miou" if "CRF" in row.marks else "miou")


def as_markdown(report: Report) -> str:
    """The report as Markdown, for a page or an issue."""
    text = [f"## {report.table}"]
    for budget in report.budgets:
        titles, found = lines(report, budget)
        text += ["", f"### {budget}: {ABOUT_BUDGETS[budget]}", ""]
        text += [*_markdown(titles, found), "", *failures(report, budget)]
        if brought := effects(report, budget):
            text += [f"{ABOUT_EFFECTS}:", "", *_markdown(EFFECT_TITLES, [each.line() for each in brought]), ""]
    return "\n".join([*text, ""])


def published_markdown(report: Report) -> str:
    """The published numbers of the rows as a Markdown table."""
    measures = [measure for measure in report.measures if any(measure in row.published for row in report.rows)]
    titles = ["row", "with", *(MEASURES[measure] for measure in measures), ""]
    rows = [
        [row.name, " ".join(row.marks), *(_number(row.published.get(measure)) for measure in measures), row.notes]
        for row in report.rows
    ]
    return "\n".join(_markdown(titles, rows))


def _markdown(titles: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (titles, ["---"] * len(titles), *table)]


def as_tables(report: Report) -> Iterator[Table | str]:
    """The tables for the terminal, one for each budget with a run, and a line for each budget without."""
    for budget in report.budgets:
        if all(row.status(budget) == "not run" for row in report.rows):
            yield f"{report.table}, {budget} ({ABOUT_BUDGETS[budget]}): not run"
            continue
        titles, found = lines(report, budget)
        yield _terminal(f"{report.table}, {budget}: {ABOUT_BUDGETS[budget]}", titles, found)
        yield from failures(report, budget)
        if brought := effects(report, budget):
            yield _terminal(ABOUT_EFFECTS, EFFECT_TITLES, [each.line() for each in brought])


def _terminal(title: str, titles: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in titles:
        table.add_column(name, justify="left" if name in TEXT_COLUMNS else "right")
    for line in lines:
        table.add_row(*line)
    return table


def failures(report: Report, budget: str) -> list[str]:
    """A sentence for each row that failed at a budget."""
    return [f"{row.name} failed: {row.failures[budget]}" for row in report.rows if row.status(budget) == "failed"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"

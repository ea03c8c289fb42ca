"""Tables of a report: in the terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from deeplab_lit.reports.collect import BUDGETS, MEASURES, Report, Row, changed
from deeplab_lit.reports.effects import TITLES as EFFECT_TITLES
from deeplab_lit.reports.effects import effects, signed
from deeplab_lit.utils.terminal import paragraph, table

TEXT_COLUMNS = ("row", "with", "starts from", "data", "status", "part")
_QUALITY = ("miou", "crf_miou")
ABOUT_BUDGETS = {
    "full": "the papers' data, crops and iterations",
    "subset": "part of the real data",
    "mini": "the embedded data",
}
_STATES = {
    "done": "done: has a result",
    "begun": "begun 4/9: 4 of 9 steps are trained; it is running, or was stopped",
    "failed": "failed: the reason stands below",
    "not run": "not run: has no run at this budget",
}
ABOUT_EFFECTS = "what each part brings, over all settings of the others (points of mIoU)"


def about(budget: str) -> str:
    """What a budget is, or what the runs of :func:`deeplab_lit.reports.collect.changed` are."""
    if budget in ABOUT_BUDGETS:
        return ABOUT_BUDGETS[budget]
    return f"rows with other values than theirs at budget={budget.removesuffix(changed(''))}"


def cells(report: Report) -> list[dict[str, str]]:
    """Every cell of the table: a dict for each row, measure and budget; the keys are the CSV's columns."""
    found = []
    for index, row in enumerate(report.rows):
        for measure in report.measures:
            if measure not in row.published and not any(row.values(budget, measure) for budget in report.budgets):
                continue
            paper = report.gain(index, lambda each, m=measure: each.published.get(m))  # type: ignore[misc]
            for budget in report.budgets:
                gain = None
                if budget in BUDGETS:
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
                        "difference": signed(_difference(row, measure)) if budget == "full" else "",
                        "gain_published": signed(paper),
                        "gain_ours": signed(gain),
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
        "starts_from": row.starts_from,
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
    full, compared = budget == "full", budget in BUDGETS
    found = []
    for index, row in enumerate(report.rows):
        if not compared and row.status(budget) == "not run":
            continue
        line = {"row": row.name, "with": " ".join(row.marks)}
        for group in [*((measure,) for measure in report.measures if measure not in _QUALITY), _QUALITY]:
            title = MEASURES[group[0]]
            if compared:
                line[f"{title}: published"] = _pair(_number(row.published.get(measure)) for measure in group)
            ours = budget if compared else title
            line[f"{title}: {budget}" if ours in line else ours] = _pair(
                _with_spread(row, budget, measure) for measure in group
            )
            if full:
                line[f"{title}: difference"] = _pair(signed(_difference(row, measure)) for measure in group)
        if compared:
            line["gain: published"] = signed(report.gain(index, _best_published))
            line[f"gain: {budget}"] = signed(report.gain(index, lambda each: _best(each, budget)))
        facts = _about(row, budget)
        line |= {name: facts[name] for name in ("seeds", "batch", "iterations", "data")}
        found.append(line | {"starts from": facts["starts_from"], "status": row.status(budget)})
    titles = [title for title in found[0] if any(line[title] for line in found)]
    return titles, [[line[title] for title in titles] for line in found]


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
        text += ["", f"### {budget}: {about(budget)}", "", *_markdown(titles, found), ""]
        text += [f"{legend(report, budget)}.", "", *departing(report, budget), *failures(report, budget)]
        if brought := effects(report, budget):
            text += [f"{ABOUT_EFFECTS}:", "", *_markdown(EFFECT_TITLES, [each.line() for each in brought]), ""]
    return "\n".join([*text, ""])


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
        yield table(titles, found, TEXT_COLUMNS, f"{report.table}, {budget}: {about(budget)}")
        told = [legend(report, budget), *departing(report, budget), *failures(report, budget)]
        yield "\n".join(map(paragraph, told)) + "\n"
        if brought := effects(report, budget):
            yield table(EFFECT_TITLES, [each.line() for each in brought], TEXT_COLUMNS, ABOUT_EFFECTS) + "\n"


def legend(report: Report, budget: str) -> str:
    """What the words in the column ``status`` mean, for those that are in it."""
    shown = {row.status(budget).split(" ")[0] for row in report.rows if budget in BUDGETS or row.results.get(budget)}
    return "status " + "; ".join(text for word, text in _STATES.items() if word.split(" ")[0] in shown)


def departing(report: Report, budget: str) -> list[str]:
    """A sentence for each row with runs that depart from it: the values that are not the row's."""
    departs = {row.name: _about(row, budget)["departs"] for row in report.rows}
    return [f"{name} departs from the row: {values}" for name, values in departs.items() if values]


def failures(report: Report, budget: str) -> list[str]:
    """A sentence for each row that failed at a budget."""
    return [f"{row.name} failed: {row.failures[budget]}" for row in report.rows if row.status(budget) == "failed"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

"""A report as a table: in the terminal, as CSV and as Markdown."""

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
ABOUT_SCALES = {
    "full": "the papers' data, crops and iterations",
    "subset": "part of the real data",
    "mini": "the embedded data",
}
ABOUT_EFFECTS = "what each part brings, over all settings of the others (points of mIoU)"


def cells(report: Report) -> list[dict[str, str]]:
    """Every cell of the table: a dict for each row, measure and scale; the keys are the CSV's columns."""
    found = []
    for index, row in enumerate(report.rows):
        for measure in report.measures:
            if measure not in row.published and not any(row.values(scale, measure) for scale in report.scales):
                continue
            paper = report.gain(index, lambda each, m=measure: each.published.get(m))  # type: ignore[misc]
            for scale in report.scales:
                gain = report.gain(index, lambda each, s=scale, m=measure: each.mean(s, m))  # type: ignore[misc]
                found.append(
                    {
                        "table": report.table,
                        "row": row.name,
                        "marks": " ".join(row.marks),
                        "measure": MEASURES[measure],
                        "published": _number(row.published.get(measure)),
                        "scale": scale,
                        "status": row.status(scale),
                        "ours": _number(row.mean(scale, measure)),
                        "spread": _number(row.spread(scale, measure)),
                        # of other data it is no difference to the paper's
                        "difference": _signed(_difference(row, measure)) if scale == "full" else "",
                        "gain_published": _signed(paper),
                        "gain_ours": _signed(gain),
                        **_about(row, scale),
                    }
                )
    return found


def _about(row: Row, scale: str) -> dict[str, str]:
    results = row.results.get(scale, [])
    return {
        "seeds": " ".join(str(result.seed) for result in results),
        "iterations": " ".join(sorted({str(result.steps) for result in results})),
        "data": "; ".join(sorted({result.data for result in results})),
        "note": row.failures.get(scale, "") if row.status(scale) == "failed" else row.notes,
    }


def as_csv(report: Report) -> str:
    """All cells, one a line."""
    found = cells(report)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(found[0]) if found else ["table"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return file.getvalue()


def lines(report: Report, scale: str) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of what people read of one scale. Values before and after the CRF stand as ``a / b``."""
    full = scale == "full"
    others = [measure for measure in report.measures if measure not in _QUALITY]
    titles = ["row", "with"]
    for title in [MEASURES[measure] for measure in others] + ["mIoU"]:
        titles += [f"{title}: published", scale, *(["difference"] if full else [])]
    titles += ["gain: published", f"gain: {scale}", "seeds", "iterations", "data", "status"]
    found = []
    for index, row in enumerate(report.rows):
        line = [row.name, " ".join(row.marks)]
        for group in [*((measure,) for measure in others), _QUALITY]:
            line.append(_pair(_number(row.published.get(measure)) for measure in group))
            line.append(_pair(_with_spread(row, scale, measure) for measure in group))
            if full:
                line.append(_pair(_signed(_difference(row, measure)) for measure in group))
        line.append(_signed(report.gain(index, _best_published)))
        line.append(_signed(report.gain(index, lambda each: _best(each, scale))))
        about = _about(row, scale)
        found.append([*line, about["seeds"], about["iterations"], about["data"], row.status(scale)])
    return titles, found


def _pair(values: Iterable[str]) -> str:
    return " / ".join(value for value in values if value)


def _with_spread(row: Row, scale: str, measure: str) -> str:
    mean, spread = row.mean(scale, measure), row.spread(scale, measure)
    return _number(mean) + ("" if spread is None else f" ± {_number(spread)}")


def _difference(row: Row, measure: str) -> float | None:
    ours, published = row.mean("full", measure), row.published.get(measure)
    return None if ours is None or published is None else ours - published


def _best_published(row: Row) -> float | None:
    return row.published.get("crf_miou" if "CRF" in row.marks else "miou")


def _best(row: Row, scale: str) -> float | None:
    return row.mean(scale, "crf_miou" if "CRF" in row.marks else "miou")


def as_markdown(report: Report) -> str:
    """The table for a page or an issue."""
    text = [f"## {report.table}"]
    for scale in report.scales:
        titles, found = lines(report, scale)
        text += ["", f"### {scale}: {ABOUT_SCALES[scale]}", ""]
        text += [*_markdown(titles, found), "", *failures(report, scale)]
        if brought := effects(report, scale):
            text += [f"{ABOUT_EFFECTS}:", "", *_markdown(EFFECT_TITLES, [each.line() for each in brought]), ""]
    return "\n".join([*text, ""])


def published_markdown(report: Report) -> str:
    """What the paper says of the rows."""
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
    """The tables for the terminal, one for each scale that something was run at, and a line for what was not."""
    for scale in report.scales:
        if all(row.status(scale) == "not run" for row in report.rows):
            yield f"{report.table}, {scale} ({ABOUT_SCALES[scale]}): not run"
            continue
        titles, found = lines(report, scale)
        yield _terminal(f"{report.table}, {scale}: {ABOUT_SCALES[scale]}", titles, found)
        yield from failures(report, scale)
        if brought := effects(report, scale):
            yield _terminal(ABOUT_EFFECTS, EFFECT_TITLES, [each.line() for each in brought])


def _terminal(title: str, titles: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in titles:
        table.add_column(name, justify="left" if name in TEXT_COLUMNS else "right")
    for line in lines:
        table.add_row(*line)
    return table


def failures(report: Report, scale: str) -> list[str]:
    """A line for each row that failed."""
    return [f"{row.name} failed: {row.failures[scale]}" for row in report.rows if row.status(scale) == "failed"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"

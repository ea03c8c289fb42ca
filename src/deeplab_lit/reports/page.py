"""Page of a report: one HTML file that needs no other file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deeplab_lit.config.identity import differing
from deeplab_lit.reports.effects import LEGEND, TITLES, effects
from deeplab_lit.reports.gain_picture import gains_chart
from deeplab_lit.reports.remarks import remarks
from deeplab_lit.reports.report_rows import FinishedRun, Report
from deeplab_lit.reports.svg_charts import curves_chart, heat_map, read_curves, trimap_chart
from deeplab_lit.reports.tables import DIFFERENCE_TITLES, DIFFERENCES_LEGEND, GAIN_COLUMNS, TEXT_COLUMNS, about, lines
from deeplab_lit.utils.html_page import data_url, rendered


def as_html(report: Report) -> str:
    """The HTML page of a table, with a section for each budget."""
    parts = [_part(report, budget) for budget in report.budgets]
    return rendered(
        "reports/page.html.j2",
        table=report.table,
        parts=parts,
        texts=TEXT_COLUMNS,
        gain_columns=GAIN_COLUMNS,
        effect_titles=TITLES,
        effects_legend=LEGEND,
        published=any(row.published for row in report.rows),
        reference=report.reference,
        difference_titles=DIFFERENCE_TITLES,
        differences_legend=DIFFERENCES_LEGEND,
    )


def _part(report: Report, budget: str) -> dict[str, Any]:
    titles, table = lines(report, budget)
    # the run of its lowest seed stands for a row
    runs = {row.name: row.results[budget][0] for row in report.rows if row.results.get(budget)}
    notes = {row.name: row.notes for row in report.rows}
    wall = _wall(runs)
    return {
        "budget": budget,
        "about": about(budget),
        "run": bool(runs) or any(row.status(budget) == "failed" for row in report.rows),
        "titles": titles,
        "lines": table,
        "remarks": remarks(report, budget),
        "effects": [each.line() for each in effects(report, budget)],
        "differences": report.differences(),
        "gains": gains_chart(report, budget),
        "curves": _curves(report, budget),
        "scales": any(len((run.config.get("scales") or {}).get("factors", [])) > 1 for run in runs.values()),
        "several": any(len(row.results.get(budget, [])) > 1 for row in report.rows),
        "heat": _heat(runs),
        "wall": wall,
        "slides": any(row["crf"] for picture in wall for row in picture["rows"]),
        "trimap": _trimap(runs),
        "names": list(runs),
        "settings": _settings(runs),
        "commands": [(name, notes[name], str(run.result.command)) for name, run in runs.items()],
    }


def _curves(report: Report, budget: str) -> str:
    found = {}
    for row in report.rows:
        runs = [each for each in row.results.get(budget, []) if each.result.trained_by is None]
        files = [each.run.folder / "metrics.csv" for each in runs]
        if curves := [read_curves(file) for file in files if file.is_file()]:
            found[row.name] = curves
    return curves_chart(found) if found else ""


def _heat(runs: Mapping[str, FinishedRun]) -> str:
    ious: dict[str, Mapping[str, float | None]] = {}
    for name, each in runs.items():
        ious[name] = each.result.per_class_iou
        if each.result.crf is not None:
            ious[f"{name} with CRF"] = each.result.crf["per_class_iou"]
    classes = list(next(iter(ious.values()))) if ious else []
    ious = {name: each for name, each in ious.items() if list(each) == classes}
    return heat_map(list(ious), classes, [list(each.values()) for each in ious.values()]) if ious else ""


def _trimap(runs: Mapping[str, FinishedRun]) -> str:
    found = {name: each.result.crf["trimap"] for name, each in runs.items() if "trimap" in (each.result.crf or {})}  # type: ignore[index]
    return trimap_chart(found) if found else ""


def _wall(runs: Mapping[str, FinishedRun]) -> list[dict[str, Any]]:
    """The pictures of the first row that has any, and of all rows with pictures of the same images."""
    with_pictures = {name: each for name, each in runs.items() if each.result.pictures}
    if not with_pictures:
        return []
    first = next(iter(with_pictures.values()))
    ids = first.result.pictures or []
    same = {name: each for name, each in with_pictures.items() if each.result.pictures == ids}
    return [
        {
            "id": id,
            "image": _data(first, f"{number}_image.jpg"),
            "truth": _data(first, f"{number}_truth.png"),
            "rows": [
                {
                    "name": name,
                    "labels": _data(each, f"{number}_labels.png"),
                    "crf": _data(each, f"{number}_crf.png"),
                }
                for name, each in same.items()
            ],
        }
        for number, id in enumerate(ids)
    ]


def _data(finished: FinishedRun, name: str) -> str:
    path = finished.run.folder / "pictures" / "wall" / name
    if not path.is_file():
        return ""
    return data_url(path.read_bytes(), path.suffix)


def _settings(runs: Mapping[str, FinishedRun]) -> list[tuple[str, list[str]]]:
    """The keys of the config whose values differ between the rows, with the value of each row as JSON."""
    found = differing([each.config for each in runs.values()])
    return [(key, ["" if value is None else json.dumps(value) for value in values]) for key, values in found.items()]

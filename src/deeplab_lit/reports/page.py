"""A report as one HTML page that needs nothing besides itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deeplab_lit.config.identity import differing
from deeplab_lit.reports.collect import Report, Result
from deeplab_lit.reports.effects import TITLES, effects
from deeplab_lit.reports.svg_charts import curves_chart, heat_map, read_curves, trimap_chart
from deeplab_lit.reports.tables import ABOUT_SCALES, TEXT_COLUMNS, failures, lines

_KINDS = {".jpg": "image/jpeg", ".png": "image/png"}


def as_html(report: Report) -> str:
    """The page of a table: a section for each scale."""
    environment = Environment(
        loader=PackageLoader("deeplab_lit.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    parts = [_part(report, scale) for scale in report.scales]
    return environment.get_template("page.html.j2").render(
        table=report.table, parts=parts, texts=TEXT_COLUMNS, effect_titles=TITLES
    )


def _part(report: Report, scale: str) -> dict[str, Any]:
    titles, table = lines(report, scale)
    # one run stands for a row: that of its first seed
    runs = {row.name: row.results[scale][0] for row in report.rows if row.results.get(scale)}
    notes = {row.name: row.notes for row in report.rows}
    wall = _wall(runs)
    return {
        "scale": scale,
        "about": ABOUT_SCALES[scale],
        "run": bool(runs) or any(row.status(scale) == "failed" for row in report.rows),
        "titles": titles,
        "lines": table,
        "failures": failures(report, scale),
        "effects": [each.line() for each in effects(report, scale)],
        "curves": _curves(runs),
        "heat": _heat(runs),
        "wall": wall,
        "slides": any(row["crf"] for picture in wall for row in picture["rows"]),
        "trimap": _trimap(runs),
        "names": list(runs),
        "differences": _differences(runs),
        "commands": [(name, notes[name], str(result.content["command"])) for name, result in runs.items()],
    }


def _curves(runs: Mapping[str, Result]) -> str:
    found = {
        name: read_curves(result.run.folder / "metrics.csv")
        for name, result in runs.items()
        if (result.run.folder / "metrics.csv").is_file() and "trained_by" not in result.content
    }
    return curves_chart(found) if found else ""


def _heat(runs: Mapping[str, Result]) -> str:
    ious: dict[str, Mapping[str, float | None]] = {}
    for name, result in runs.items():
        content = result.content
        ious[name] = content["per_class_iou"]
        if "crf" in content:
            ious[f"{name} with CRF"] = content["crf"]["per_class_iou"]
    classes = list(next(iter(ious.values()))) if ious else []
    ious = {name: each for name, each in ious.items() if list(each) == classes}
    return heat_map(list(ious), classes, [list(each.values()) for each in ious.values()]) if ious else ""


def _trimap(runs: Mapping[str, Result]) -> str:
    found = {name: run.content["crf"]["trimap"] for name, run in runs.items() if "trimap" in run.content.get("crf", {})}
    return trimap_chart(found) if found else ""


def _wall(runs: Mapping[str, Result]) -> list[dict[str, Any]]:
    """The pictures of the first row that has any, in all rows that have the same."""
    with_pictures = {name: result for name, result in runs.items() if result.content.get("pictures")}
    if not with_pictures:
        return []
    first = next(iter(with_pictures.values()))
    ids = first.content["pictures"]
    same = {name: result for name, result in with_pictures.items() if result.content["pictures"] == ids}
    return [
        {
            "id": id,
            "image": _data(first, f"{number}_image.jpg"),
            "truth": _data(first, f"{number}_truth.png"),
            "rows": [
                {
                    "name": name,
                    "labels": _data(result, f"{number}_labels.png"),
                    "crf": _data(result, f"{number}_crf.png"),
                }
                for name, result in same.items()
            ],
        }
        for number, id in enumerate(ids)
    ]


def _data(result: Result, name: str) -> str:
    path = result.run.folder / "pictures" / "wall" / name
    if not path.is_file():
        return ""
    return f"data:{_KINDS[Path(name).suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _differences(runs: Mapping[str, Result]) -> list[tuple[str, list[str]]]:
    """The keys of the config whose values are not the same in all rows, with each row's."""
    found = differing([result.config for result in runs.values()])
    return [(key, ["" if value is None else json.dumps(value) for value in values]) for key, values in found.items()]

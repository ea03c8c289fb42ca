"""Page of all tables of the papers: one HTML file that needs no other file and leads to the pages of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from deeplab_lit.config.paths import PAPER, sweeper_of
from deeplab_lit.reports.collect import collect, rows_of
from deeplab_lit.reports.gain_picture import as_svg
from deeplab_lit.reports.report_rows import BUDGETS, Report, changed
from deeplab_lit.utils.html_page import rendered


def paper_page(found: Sequence[Report], folder: Path) -> str:
    """The HTML page of all tables of the papers: what has been run of each, and the picture of each.

    Args:
        found: the reports of the tables that have runs; other tables are shown as not run, with their published
            numbers.
        folder: the folder of the page, which has a folder for each table.
    """
    by_table = {report.table: report for report in found}
    names = sweeper_of(PAPER)["tables"]
    reports = [by_table.get(name) or collect(name, rows_of(name), folder / name) for name in names]
    return rendered(
        "reports/paper_page.html.j2",
        budgets=BUDGETS,
        tables=[
            {
                "name": report.table,
                "about": sweeper_of(report.table)["about"],
                "page": f"{quote(report.table)}/report.html" if report.table in by_table else "",
                "rows": len(report.rows),
                "run": [_run(report, budget) for budget in BUDGETS],
                "picture": as_svg(report),
            }
            for report in reports
        ],
    )


def _run(report: Report, budget: str) -> str:
    """How many rows have been run at a budget, and over how many seeds; empty if none."""
    seeds = [len(row.results[budget]) for row in report.rows if row.results.get(budget)]
    missing = sum(budget in row.no_data for row in report.rows)
    others = sum(bool(row.results.get(changed(budget))) for row in report.rows)
    told = []
    if seeds:
        least, most = min(seeds), max(seeds)
        over = f"{least} to {most} seeds" if least < most else f"{most} seed{'s' if most > 1 else ''}"
        told.append(f"{len(seeds)}, {over}" + (f", {missing} without data" if missing else ""))
    return "; ".join([*told, *([f"{others} with other values than theirs"] if others else [])])

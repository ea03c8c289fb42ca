"""Collection of the results of a table's runs, by row and budget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from deeplab_lit.cli.whole_choices import keys_set
from deeplab_lit.config.compose import compose
from deeplab_lit.config.paths import sweeper_of
from deeplab_lit.config.schemas import RowConfig
from deeplab_lit.reports.departures import departures
from deeplab_lit.reports.report_rows import BUDGETS, FinishedRun, Report, Row, budget_of, changed
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, read_config
from deeplab_lit.utils.errors import UserError


def collect(table: str, rows: Sequence[Mapping[str, Any]], folder: Path) -> Report:
    """Read the runs of a table.

    Args:
        table: the name of the table.
        rows: the group ``row`` of each row's config.
        folder: the folder of the table's runs, with a folder for each row.

    Raises:
        UserError: a run with a result has no config.
    """
    found = [
        Row(
            str(each["name"]), str(each["notes"]), list(each["marks"]), dict(each["published"]),
            str(each["starts_from"] or "").removeprefix(f"{table}/"),
        )
        for each in rows
    ]  # fmt: skip
    for row in found:
        newest: dict[tuple[str, int], FinishedRun] = {}
        for path in sorted((folder / row.name).glob("*/result.json")):
            finished = _read(path, table, row.name)
            newest[finished.budget, finished.seed] = finished
        for (budget, _), finished in sorted(newest.items(), key=lambda item: item[0]):
            row.results.setdefault(budget, []).append(finished)
        for path in sorted((folder / row.name).glob("*/metrics.csv")):
            if not (path.parent / "result.json").is_file():
                config = read_config(Run(path.parent))
                budget = budget_of(config)
                budget = changed(budget) if departures(config, _config_of(table, row.name, budget)) else budget
                row.begun[budget] = f"{_last_step(path)}/{config['max_steps']}"
                row.last_written[budget] = path.stat().st_mtime
    for budget in BUDGETS:
        _note_lacks(found, budget)
        path = folder / f"sweep-{budget}.json"
        for end in json.loads(path.read_text()) if path.is_file() else []:
            for row in found:
                if row.name == end["row"] and end["state"] == "failed":
                    row.failures[budget] = end["reason"]
                    for tried in (budget, changed(budget)):
                        if row.last_written.get(tried, 0.0) <= path.stat().st_mtime:  # not trained again since
                            row.begun.pop(tried, None)
    return Report(table, found)


def _note_lacks(rows: Sequence[Row], budget: str) -> None:
    """Note at each row what a budget lacks; a row that adds nothing else has no results there.

    A mark is lacking if all runs of rows that have it say so. Rows without it are the same with and without its data.
    """
    told: dict[str, list[bool]] = {}
    for row in rows:
        for run in row.results.get(budget, []):
            lacking = (run.config.get("row") or {}).get("lacks") or []
            for mark in row.marks:
                told.setdefault(mark, []).append(mark in lacking)
    lacks = {mark for mark, each in told.items() if all(each)}
    before: list[list[str]] = []
    for row in rows if lacks else []:
        row.lacks[budget] = lacks
        if lacks & set(row.marks) and row.marks_at(budget) in before:
            row.no_data.add(budget)
            row.results.pop(budget, None)
        before.append(row.marks_at(budget))


def _last_step(path: Path) -> int:
    last = path.read_text().rstrip().rsplit("\n", 1)[-1].split(",")[0]
    return int(last) + 1 if last.isdigit() else 0


@cache
def _config_of(table: str, row: str, budget: str) -> dict[str, Any]:
    """The resolved config of a row at a budget, as the table has it; it needs a running Hydra program."""
    return compose([f"experiments={table}/{row}", f"budget={budget}"]).as_dict()


def _read(path: Path, table: str, row: str) -> FinishedRun:
    run = Run(path.parent)
    try:
        config = read_config(run)
        departs = departures(config, _config_of(table, row, budget_of(config)))
        return FinishedRun(run, config, Result.read(path), tuple(departs))
    except OSError as error:
        raise UserError(
            f"{path.parent} has no config.yaml ({error}): remove the folder, and the row runs again."
        ) from error


def rows_of(table: str) -> list[dict[str, Any]]:
    """The group ``row`` of the config of each row of a table, as its files have it."""
    rows = [keys_set({"experiments": f"{table}/{name}"})["row"] for name in sweeper_of(table)["rows"]]
    return [asdict(RowConfig(**row)) for row in rows]

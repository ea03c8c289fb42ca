"""The measured tables of docs/results.md and their pictures, made from the runs that docs/results/ keeps.

python docs/results.py runs/table4_resnet101     # keep a sweep's results: docs/results/TABLE-BUDGET.json
python docs/results.py                           # write the tables of docs/results.md and the pictures anew
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import hydra

from deeplab_lit.config.hydra_store import register_schemas
from deeplab_lit.config.paths import conf_folder
from deeplab_lit.reports.collect import collect, rows_of
from deeplab_lit.reports.gain_picture import as_svg
from deeplab_lit.reports.remarks import left_out
from deeplab_lit.reports.report_rows import BUDGETS, FinishedRun, Report, Row
from deeplab_lit.reports.tables import effects_markdown, measured_markdown
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run
from deeplab_lit.utils.files import write_json, write_text

DOCS = Path(__file__).resolve().parent
KEPT = DOCS / "results"
PAGE = DOCS / "results.md"
_OF_A_MACHINE = ("checkpoint", "pictures", "trained_by")


def keep(folder: Path) -> list[Path]:
    """Write the results of a table's runs, a file for each budget, without paths of this machine."""
    register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        hydra.compose("train")
        rows = rows_of(folder.name)
        report = collect(folder.name, rows, folder)
    written = []
    for budget in BUDGETS:
        runs = [_kept(row, run) for row in report.rows for run in row.results.get(budget, [])]
        if runs:
            path = KEPT / f"{folder.name}-{budget}.json"
            names = ("name", "marks", "published", "notes", "starts_from")
            told = [{name: row[name] for name in names} for row in rows]
            write_json(path, {"table": folder.name, "budget": budget, "rows": told, "runs": runs})
            written.append(path)
    return written


def _kept(row: Row, run: FinishedRun) -> dict[str, Any]:
    result = json.loads(run.run.result.read_text())
    result = {name: value for name, value in result.items() if name not in _OF_A_MACHINE}
    root = run.config["data"].get("root")
    data = {"_target_": run.config["data"]["_target_"], "root": Path(root).name if root else None}
    return {"row": row.name, "seed": run.seed, "data": data, "result": result}


def kept(path: Path) -> Report:
    """The report of a file of :func:`keep`."""
    content = json.loads(path.read_text())
    rows = {each["name"]: Row(**{**each, "starts_from": (each["starts_from"] or "").rpartition("/")[2]})
            for each in content["rows"]}  # fmt: skip
    for each in content["runs"]:
        config = {"seed": each["seed"], "data": each["data"], "row": {"budget": content["budget"]}}
        run = FinishedRun(Run(Path(each["row"])), config, Result(**each["result"]))
        rows[each["row"]].results.setdefault(content["budget"], []).append(run)
    return Report(content["table"], list(rows.values()))


def measured(name: str) -> str:
    """What docs/results.md says of a kept table: its rows, what was run, and how."""
    path, budget = KEPT / f"{name}.json", name.rpartition("-")[2]
    if not path.is_file():
        return "Not measured yet."
    report = kept(path)
    runs = [run for row in report.rows for run in row.results.get(budget, [])]
    images, seconds = runs[0].result.images or {}, sum(run.result.seconds or 0 for run in runs)
    codes = sorted({str(run.result.code) for run in runs})
    about = (
        f"Seeds {_list(run.seed for run in runs)}; {images['train']:,} training and {images['validation']:,} "
        f"validation images, {_list(run.result.steps for run in runs)} steps of {_list(run.batch for run in runs)}; "
        f"{seconds / 3600:.1f} hours of training in all; version {'; '.join(codes)}."
    )
    parts = [measured_markdown(report, budget), about, *(f"{each}." for each in left_out(report, budget))]
    return "\n\n".join([*parts, *effects_markdown(report, budget)])


def _list(values: Any) -> str:
    return ", ".join(f"{each:,}" if isinstance(each, int) else str(each) for each in dict.fromkeys(values))


def filled(page: str) -> str:
    """A page whose blocks, from ``<!-- begin NAME -->`` on, hold the tables of docs/results/NAME.json."""
    return re.sub(
        r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end of it -->)",
        lambda match: f"{match[1]}\n{measured(match[2])}\n\n{match[3]}",
        page,
        flags=re.DOTALL,
    )


def main(folders: list[str]) -> None:
    """Keep the results of the tables in ``folders``, then write the page and the pictures."""
    for folder in folders:
        print(*keep(Path(folder).resolve()))
    write_text(PAGE, filled(PAGE.read_text()))
    for path in sorted(KEPT.glob("*.json")):
        write_text(path.with_suffix(".svg"), as_svg(kept(path)))


if __name__ == "__main__":
    main(sys.argv[1:])

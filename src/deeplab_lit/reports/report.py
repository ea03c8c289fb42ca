"""Report of each table that has runs: in the terminal, and as files beside the runs."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from deeplab_lit.config.command_schemas import ReportConfig
from deeplab_lit.config.paths import tables
from deeplab_lit.reports.collect import collect, rows_of
from deeplab_lit.reports.gain_picture import as_svg
from deeplab_lit.reports.page import as_html
from deeplab_lit.reports.paper_page import paper_page
from deeplab_lit.reports.report_rows import BUDGETS, Report
from deeplab_lit.reports.tables import as_csv, as_markdown, as_tables
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_text
from deeplab_lit.utils.terminal import output_width

_EVERY = 5.0  # seconds between two readings of the runs


def report(config: ReportConfig) -> list[Report]:
    """Print each table that has runs, and write report.html, .svg, .md and .csv beside them, and paper.html for all.

    With ``config.wandb`` the page is also logged to W&B. With ``config.watch`` the tables are shown and nothing is
    written.

    Raises:
        UserError: the folder holds no runs of a table.
    """
    folders = _folders(config)
    if config.watch:
        return _watch(folders)
    found = []
    for folder in folders:
        each = collect(folder.name, rows_of(folder.name), folder)
        for table in as_tables(each):
            print(table)
        write_report(each, folder)
        if config.wandb is not None:
            from deeplab_lit.reports.publish import publish  # imports Lightning, which takes seconds

            publish(each, folder, config.wandb)
        found.append(each)
    if config.sweep is None:
        page = Path(config.output).expanduser() / "paper.html"
        write_text(page, paper_page(found, page.parent))
        print(f"written: {page}, all tables of the papers")
    return found


def write_report(report: Report, folder: Path) -> None:
    """Write report.html, .svg, .md and .csv into a folder, and print where they are."""
    write_text(folder / "report.csv", as_csv(report))
    write_text(folder / "report.md", as_markdown(report))
    write_text(folder / "report.svg", as_svg(report))
    write_text(folder / "report.html", as_html(report))
    print(f"written: {folder / 'report.html'}, report.svg, report.md, report.csv")


def _watch(folders: list[Path]) -> list[Report]:
    """Show the tables anew every few seconds until no row is ``not run`` or ``begun``."""
    rows = {folder: rows_of(folder.name) for folder in folders}
    # a file or a pipe has no width, at which lines would be cut
    with Live(console=Console(width=output_width() or 1000), refresh_per_second=1) as live:
        while True:
            found = [collect(folder.name, rows[folder], folder) for folder in folders]
            shown = "\n".join(table for each in found for table in as_tables(each))
            live.update(Text(shown, no_wrap=True, overflow="ignore"), refresh=True)
            states = [row.status(budget) for each in found for row in each.rows for budget in _tried(each)]
            if not any(state == "not run" or state.startswith("begun") for state in states):
                return found
            time.sleep(_EVERY)


def _tried(report: Report) -> list[str]:
    """The budgets at which a row has been run, those of rows' own values if there are any; ``full`` if none."""
    tried = [each for each in report.budgets if any(row.status(each) != "not run" for row in report.rows)]
    return [each for each in tried if each in BUDGETS] or tried or ["full"]


def _folders(config: ReportConfig) -> list[Path]:
    known = tables()
    if config.sweep is not None:
        folder = Path(config.sweep).expanduser()
        if not folder.is_dir() or folder.resolve().name not in known:
            raise UserError(
                f"sweep={config.sweep!r} is no folder of a table's runs: it is OUTPUT/TABLE, such as "
                f"runs/table4_resnet101; tables are {', '.join(known)}."
            )
        return [folder]
    output = Path(config.output).expanduser()
    # the lock of a run that was refused makes a folder too
    signs = ("*/*/config.yaml", "sweep-*.json")
    found = [output / name for name in known if any(any((output / name).glob(each)) for each in signs)]
    if not found:
        raise UserError(
            f"there are no runs of a table below {str(output)!r}: deeplab-lit train experiments=table4_resnet101 "
            "budget=mini makes some; output=FOLDER looks elsewhere."
        )
    return found

"""Publication of a report in Weights & Biases."""

from __future__ import annotations

import os
from pathlib import Path

from deeplab_lit.reports.report_rows import Report
from deeplab_lit.reports.tables import NUMBERS, cells
from deeplab_lit.training.wandb_run import wandb_folders, wandb_is_configured

FILES = ("report.html", "report.svg", "report.md", "report.csv")
"""The files of a report, beside its runs."""


def publish(report: Report, folder: Path, project: str) -> None:
    """Log a report as panels (its page, and the cells of report.csv as a table) and its files as an artifact.

    It has a W&B run of its own, offline if no key is configured.

    Args:
        report: the table.
        folder: that holds the written files; W&B's files of an offline run lie beside them.
        project: the W&B project.
    """
    with wandb_folders(folder):
        import wandb

        run = wandb.init(
            project=project,
            name=f"{report.table}/report",
            job_type="report",
            dir=os.environ.get("WANDB_DIR", folder),
            mode=None if wandb_is_configured() else "offline",
            settings=wandb.Settings(silent=True),
        )
        with run:
            run.log({"report": wandb.Html(folder / "report.html"), "rows": wandb.Table(*_columns_and_lines(report))})
            artifact = wandb.Artifact(f"report-{report.table}", type="report")
            for name in FILES:
                artifact.add_file(str(folder / name))
            run.log_artifact(artifact)


def _columns_and_lines(report: Report) -> tuple[list[str], list[list[str | float | None]]]:
    """The cells of a report, with numbers instead of their text; None where there is none."""
    found = cells(report)
    return list(found[0]), [[_value(name, text) for name, text in each.items()] for each in found]


def _value(name: str, text: str) -> str | float | None:
    if name not in NUMBERS:
        return text
    return float(text) if text else None

"""Publication of a report's page in Weights & Biases."""

from __future__ import annotations

import os
from pathlib import Path

from deeplab_lit.training.wandb_run import wandb_folders, wandb_is_configured


def publish(page: Path, table: str, project: str) -> None:
    """Log a page as a panel and as an artifact, in a W&B run of its own; offline if no key is configured.

    Args:
        page: the HTML file; W&B's files of an offline run lie beside it.
        table: the name of the table.
        project: the W&B project.
    """
    with wandb_folders(page.parent):
        import wandb

        run = wandb.init(
            project=project,
            name=f"{table}/report",
            job_type="report",
            dir=os.environ.get("WANDB_DIR", page.parent),
            mode=None if wandb_is_configured() else "offline",
            settings=wandb.Settings(silent=True),
        )
        with run:
            run.log({"report": wandb.Html(page)})
            artifact = wandb.Artifact(f"report-{table}", type="report")
            artifact.add_file(str(page))
            run.log_artifact(artifact)

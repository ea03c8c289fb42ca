"""A report's page in Weights & Biases."""

from __future__ import annotations

from pathlib import Path

from deeplab_lit.training.loggers import wandb_is_configured


def publish(page: Path, table: str, project: str) -> None:
    """Log a page as a panel and as an artifact, in a run of its own; offline where no key is configured.

    Args:
        page: the HTML file; W&B's files of an offline run lie beside it.
        table: that it is of.
        project: in W&B.
    """
    import wandb

    run = wandb.init(
        project=project,
        name=f"{table}/report",
        job_type="report",
        dir=page.parent,
        mode=None if wandb_is_configured() else "offline",
        settings=wandb.Settings(silent=True),
    )
    with run:
        run.log({"report": wandb.Html(page)})
        artifact = wandb.Artifact(f"report-{table}", type="report")
        artifact.add_file(str(page))
        run.log_artifact(artifact)

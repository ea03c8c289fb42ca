"""Dashboard of a table in Weights & Biases, built from code as a W&B report."""

# mypy: disable-error-code="attr-defined"
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deeplab_lit.config.command_schemas import DashboardConfig
from deeplab_lit.config.paths import tables
from deeplab_lit.reports.collect import collect, rows_of
from deeplab_lit.reports.report_rows import Report, changed
from deeplab_lit.reports.tables import ABOUT_BUDGETS, budget_markdown, published_markdown
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_text


def specify(report: Report, budget: str, entity: str, project: str) -> Any:
    """The specification of a dashboard for the runs of one table at one budget.

    It shows the table with deviations over seeds and intervals of gains, mIoU by run beside the paper, learning curves,
    IoU of each class, predictions and confusion matrices.

    Args:
        report: the table with its runs on this machine, which also tell which pictures W&B holds.
        budget: full, subset or mini.
        entity: the user or team that owns the project.
        project: the project that the runs were logged to.

    Returns:
        A ``wandb_workspaces.reports.v2.Report``; its ``save()`` sends it.

    Raises:
        UserError: the package is missing.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
    except ModuleNotFoundError as error:
        raise UserError("a dashboard needs a package: pip install 'deeplab_lit[dashboard]'.") from error

    group, own = f"{report.table}-{budget}", (budget, changed(budget))
    end = "" if budget == "full" else f"_{budget}"
    columns = [f"summary:{key}/{measure}" for measure in ("miou", "crf_miou")
               for key in ("published", f"ours{end}", f"difference{end}")]  # fmt: skip
    runs = wr.Runset(  # in the report's own project
        name=group,
        filters=f"Metric('Group') == '{group}'",
        order=[wr.OrderBy("CreatedTimestamp", ascending=True)],
        pinned_columns=["run:displayName", *columns],
    )
    row = "${run:jobType}"

    def layout(column: int, line: int, wide: int = 12, high: int = 8) -> Any:
        return wr.Layout(x=column, y=line, w=wide, h=high)

    panels = [
        *(
            wr.BarPlot(
                title=title,
                metrics=[f"{key}/{measure}" for key in ("published", f"ours{end}")],
                legend_template=row,
                layout=layout(12 * place, 0),
            )
            for place, (measure, title) in enumerate((("miou", "mIoU (%)"), ("crf_miou", "mIoU with the CRF (%)")))
        ),
        wr.LinePlot(
            title="training loss",
            x="trainer/global_step",
            y=["train/loss"],
            smoothing_type="exponential",
            smoothing_factor=0.9,
            legend_template=row,
            layout=layout(0, 8),
        ),
        wr.LinePlot(
            title="validation mIoU",
            x="trainer/global_step",
            y=["val/miou"],
            legend_template=row,
            layout=layout(12, 8),
        ),
        wr.CustomChart(
            query={"summaryTable": {"tableKey": "per_class_iou"}},
            chart_name="wandb/bar/v0",
            chart_fields={"label": "class", "value": "IoU"},
            chart_strings={"title": "IoU of each class"},
            layout=layout(0, 16, high=10),
        ),
        wr.CustomChart(
            query={"summaryTable": {"tableKey": "confusion_matrix_table"}},
            chart_name="wandb/confusion_matrix/v1",
            chart_fields={name: name for name in ("Actual", "Predicted", "nPredictions")},
            chart_strings={"title": "pixels by class"},
            layout=layout(12, 16, high=10),
        ),
    ]
    pictures = _pictures(report, budget)
    if pictures:
        panels.append(
            wr.MediaBrowser(
                title="predictions",
                media_keys=[f"predictions/{id}" for id in pictures],
                mode="grid",
                grid_x_axis="step",
                grid_y_axis="run",
                layout=layout(0, 26, wide=24, high=14),
            )
        )
    return wr.Report(
        entity=entity,
        project=project,
        title=f"{report.table}, {budget}",
        description=f"{ABOUT_BUDGETS[budget]}, beside the published numbers",
        blocks=[
            wr.MarkdownBlock(text=published_markdown(report)),
            *(wr.MarkdownBlock(text=budget_markdown(report, each)) for each in report.budgets if each in own),
            wr.PanelGrid(runsets=[runs], panels=panels),
        ],
        width="fluid",
    )


def dashboard(config: DashboardConfig) -> Path:
    """Build the dashboard of a group of runs, write its specification beside them, and send it if an entity is given.

    Raises:
        UserError: there is no such group, the package is missing, or W&B refuses.
    """
    table, _, budget = config.group.rpartition("-")
    if table not in tables() or budget not in ABOUT_BUDGETS:
        raise UserError(
            f"group={config.group!r} is no group of a table's runs: it is TABLE-BUDGET, such as table4_resnet101-full; "
            f"tables are {', '.join(tables())}; budgets {', '.join(ABOUT_BUDGETS)}."
        )
    folder = Path(config.output).expanduser() / table
    report = collect(table, rows_of(table), folder)
    built = specify(report, budget, config.entity or "", config.project)
    path = folder / f"dashboard-{budget}.json"
    write_text(path, specification(built) + "\n")
    print(f"written and checked: {path}")
    if config.entity is None:
        print("entity=USER_OR_TEAM sends it to W&B, into the project that the runs are in.")
        return path
    try:
        built.save()
    except Exception as error:  # wandb-workspaces raises Exception itself
        raise UserError(f"W&B did not take the dashboard of {config.entity}/{config.project}: {error}") from error
    print(built.url)
    return path


def specification(built: Any) -> str:
    """The JSON of a dashboard that W&B is sent, validated with the models of W&B's package.

    Raises:
        UserError: the installed package does not take the dashboard.
    """
    from pydantic import ValidationError
    from wandb_workspaces.reports.v2 import internal

    try:
        text: str = built._to_model().model_dump_json(by_alias=True, exclude_none=True)
        internal.ReportViewspec.model_validate(json.loads(text))
    except (ValidationError, AttributeError) as error:
        raise UserError(f"the installed wandb-workspaces does not take this dashboard: {error}") from error
    return json.dumps(json.loads(text), indent=1)


def _pictures(report: Report, budget: str) -> Sequence[str]:
    """The ids of the validation images that the runs have logged."""
    found: dict[str, None] = {}
    for row in report.rows:
        for each in [*row.results.get(budget, []), *row.results.get(changed(budget), [])]:
            found |= dict.fromkeys(each.result.pictures or [])
    return list(found)

"""SVG charts of a report, which take the colours of the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

Curve = tuple[Sequence[float], Sequence[float]]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    # letters stay text, and equal figures give equal files
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace("#000000", "currentColor")
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def read_curves(path: Path) -> dict[str, Curve]:
    """Steps and values of the training loss and the validation mIoU (percent) in a metrics.csv."""
    found: dict[str, tuple[list[float], list[float]]] = {"train/loss": ([], []), "val/miou": ([], [])}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for key, (steps, values) in found.items():
                if row.get(key):
                    steps.append(float(row["step"]))
                    values.append(float(row[key]) * (100 if key == "val/miou" else 1))
    return dict(found)


def smooth(values: Sequence[float], width: int) -> list[float]:
    """The moving mean over a value and ``width // 2`` on each side of it, fewer at the ends."""
    sums = np.cumsum([0.0, *values])
    half = width // 2
    ends = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [float((sums[b] - sums[a]) / (b - a)) for a, b in ends]


def over_runs(curves: Sequence[Curve]) -> tuple[Curve, Curve, Curve]:
    """The mean, the lowest and the highest of several curves, at the steps that all of them have."""
    by_step = [dict(zip(*curve, strict=True)) for curve in curves]
    steps = sorted(set.intersection(*(set(each) for each in by_step)))
    values = np.array([[each[step] for step in steps] for each in by_step])
    return tuple((steps, each.tolist()) for each in (values.mean(0), values.min(0), values.max(0)))  # type: ignore[return-value]


def curves_chart(rows: Mapping[str, Sequence[Mapping[str, Curve]]]) -> str:
    """Training loss and validation mIoU over the steps: of each row the mean of its runs, in a band from the lowest to
    the highest of them.

    Args:
        rows: by name, the curves of each run of the row.
    """
    figure = _figure(10, 3.4)
    for place, (key, name) in enumerate((("train/loss", "training loss"), ("val/miou", "validation mIoU (%)")), 1):
        axes = figure.add_subplot(1, 2, place)
        for row, runs in rows.items():
            (steps, mean), (_, lowest), (_, highest) = over_runs([_shown(run[key], key) for run in runs])
            (line,) = axes.plot(steps, mean, label=row, marker="." if len(mean) < 30 else None, linewidth=1.4)
            if len(runs) > 1:
                axes.fill_between(steps, lowest, highest, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set_xlabel("step")
        axes.set_ylabel(name)
        axes.grid(alpha=0.25)
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    return _svg(figure, "Loss and mIoU over the steps")


def _shown(curve: Curve, key: str) -> Curve:
    steps, values = curve
    return (steps, smooth(values, max(1, len(values) // 40))) if key == "train/loss" else curve


def heat_map(rows: Sequence[str], classes: Sequence[str], ious: Sequence[Sequence[float | None]]) -> str:
    """IoU (percent) of each class in each row."""
    values = np.array([[np.nan if iou is None else 100 * iou for iou in line] for line in ious])
    figure = _figure(max(6.0, 0.5 * len(classes) + 1.6), 0.34 * len(rows) + 1.6)
    axes = figure.add_subplot()
    axes.pcolormesh(values, vmin=0, vmax=100, cmap="viridis")
    axes.set_xticks(np.arange(len(classes)) + 0.5, classes, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=8)
    axes.invert_yaxis()
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "#fefefe" if value < 60 else "#010101"
            axes.text(column + 0.5, line + 0.5, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    return _svg(figure, "IoU of each class in each row")


def trimap_chart(rows: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> str:
    """mIoU within bands around boundaries, before (dashed) and after the CRF (V2, figure 10)."""
    figure = _figure(7, 3.4)
    axes = figure.add_subplot()
    for number, (row, curves) in enumerate(rows.items()):
        for key, style in (("before", "--"), ("after", "-")):
            band = [each for each in curves[key] if each["miou"] is not None]
            label = f"{row}{', with CRF' if key == 'after' else ''}"
            axes.plot([each["width"] for each in band], [100 * each["miou"] for each in band], style,
                      color=f"C{number % 10}", label=label, linewidth=1.4)  # fmt: skip
    axes.set_xlabel("trimap width (pixels)")
    axes.set_ylabel("mIoU (%)")
    axes.grid(alpha=0.25)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    return _svg(figure, "mIoU near the boundaries of objects")

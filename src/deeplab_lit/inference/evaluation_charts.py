"""Evaluation charts: confusion matrices, trimap and threshold curves, the heat map of a search, as PNGs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.utils.files import replacing


def _figure(width: float, height: float) -> Figure:
    # pyplot would keep the figure and need a display
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def confusion_chart(matrices: Sequence[NDArray[np.int64]], titles: Sequence[str], labels: LabelSet, path: Path) -> None:
    """Draw confusion matrices (C, C) side by side, in percent of the pixels of each true class."""
    size = max(4.0, 0.32 * len(labels) + 1.5)
    figure = _figure(size * len(matrices) + 0.6, size)
    for place, (matrix, title) in enumerate(zip(matrices, titles, strict=True), 1):
        axes = figure.add_subplot(1, len(matrices), place)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = 100 * matrix / matrix.sum(1, keepdims=True)
        picture = axes.imshow(np.nan_to_num(share), vmin=0, vmax=100, cmap="Blues")
        axes.set_xticks(range(len(labels)), labels.names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(labels)), labels.names, fontsize=7)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if len(labels) <= 30:
            for row, column in np.argwhere(np.nan_to_num(share) >= 1):
                colour = "white" if share[row, column] > 60 else "black"
                axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(picture, ax=figure.axes, label="% of the true class's pixels", shrink=0.8)
    _save(figure, path)


def trimap_chart(curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Draw mIoU and pixel accuracy over the width of the trimap, a line for each curve (V2, figure 10)."""
    figure = _figure(9, 3.6)
    for place, (key, title) in enumerate((("miou", "mIoU"), ("pixel_accuracy", "pixel accuracy")), 1):
        axes = figure.add_subplot(1, 2, place)
        for name, curve in curves.items():
            axes.plot([each["width"] for each in curve], [100 * each[key] for each in curve], label=name)
        axes.set_xlabel("trimap width (pixels)")
        axes.set_ylabel(f"{title} (%)")
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def threshold_chart(
    curve: Sequence[Mapping[str, float]], marks: Mapping[str, Mapping[str, float]], alphas: Sequence[float], path: Path
) -> None:
    """Draw the mIoU over the threshold of class activation maps.

    Args:
        curve: ``threshold``, ``alpha`` and ``miou`` of each point.
        marks: points of the curve by their names.
        alphas: what is written along the upper edge.
        path: the PNG.
    """
    figure = _figure(7, 4.2)
    axes = figure.add_subplot()
    places = [each["threshold"] for each in curve]
    axes.plot(places, [100 * each["miou"] for each in curve], color="black", linewidth=1.4)
    for number, (name, point) in enumerate(marks.items()):
        label = f"{name}: {point['threshold']:.3f}, {100 * point['miou']:.2f} %"
        axes.axvline(point["threshold"], color=f"C{number}", linestyle="--", linewidth=1)
        axes.plot(point["threshold"], 100 * point["miou"], "o", color=f"C{number}", label=label)
    axes.set_xticks([each / 10 for each in range(1, 10)])
    axes.set_xlabel("threshold (above: the alpha that makes the same masks)")
    axes.set_ylabel("mIoU before the CRF (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    upper: Any = axes.secondary_xaxis("top")
    at = {alpha: np.interp(-alpha, [-each["alpha"] for each in curve], places) for alpha in alphas}
    upper.set_xticks(list(at.values()), [f"{alpha:g}" for alpha in at])
    _save(figure, path)


def search_heat_map(
    grid: NDArray[np.float64], rows: tuple[str, Sequence[float]], columns: tuple[str, Sequence[float]], path: Path
) -> None:
    """Draw the mIoU over two parameters as a heat map.

    Args:
        grid: mIoU (R, C); NaN where no point was evaluated.
        rows, columns: the name of a parameter and its values.
        path: the PNG.
    """
    figure = _figure(2.6 + 0.8 * len(columns[1]), 2.0 + 0.6 * len(rows[1]))
    axes = figure.add_subplot()
    axes.set_facecolor("lightgrey")
    colours: Any = axes.imshow(100 * grid, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(columns[1])), [f"{value:g}" for value in columns[1]])
    axes.set_yticks(range(len(rows[1])), [f"{value:g}" for value in rows[1]])
    axes.set_xlabel(columns[0])
    axes.set_ylabel(rows[0])
    middle = np.nanmean(grid)
    for row, column in np.argwhere(~np.isnan(grid)):
        colour = "white" if grid[row, column] < middle else "black"
        axes.text(column, row, f"{100 * grid[row, column]:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_title("at the best bilateral_weight\ngrey: not tried", fontsize=9)
    figure.colorbar(colours, label="mIoU (%)")
    _save(figure, path)

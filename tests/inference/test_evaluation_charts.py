"""Charts: nothing that they say lies outside their picture."""

import numpy as np
import pytest
from matplotlib.text import Text

from deeplab_lit.data.background_scores import alpha_of
from deeplab_lit.inference import evaluation_charts


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 4), (8, 4)])
def test_every_text_of_the_heat_map_is_inside_it(tmp_path, monkeypatch, rows, columns):
    figures = []
    save = evaluation_charts._save
    monkeypatch.setattr(evaluation_charts, "_save", lambda figure, path: (figures.append(figure), save(figure, path)))
    scores = np.linspace(0.7, 0.8, rows * columns).reshape(rows, columns)
    axes = [("bilateral_xy_std", range(30, 30 + rows)), ("bilateral_rgb_std", range(3, 3 + columns))]
    evaluation_charts.search_heat_map(scores, *axes, tmp_path / "search.png")
    (figure,) = figures
    figure.draw_without_rendering()  # at its own resolution
    texts = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text()]
    assert sum(each.get_text().startswith("mIoU (%)") for each in texts) == 1
    for each in texts:
        box = each.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, each.get_text()
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, each.get_text()


def test_every_text_of_the_threshold_chart_is_inside_it_and_apart(tmp_path, monkeypatch):
    figures = []
    save = evaluation_charts._save
    monkeypatch.setattr(evaluation_charts, "_save", lambda figure, path: (figures.append(figure), save(figure, path)))
    curve = [{"threshold": t, "alpha": alpha_of(t), "miou": 0.9 - (t - 0.3) ** 2} for t in np.arange(5, 91) / 100]
    marks = {"best by the true masks": curve[25], "by the rule, without them": curve[40]}
    evaluation_charts.threshold_chart(curve, marks, (1, 2, 4, 8, 24), tmp_path / "thresholds.png")
    (figure,) = figures
    figure.draw_without_rendering()
    undrawn = figure.axes[0].get_yticklabels()  # some lie beyond the axis
    texts = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text() and each not in undrawn]
    assert {"1", "24"} <= {each.get_text() for each in texts}
    for each in texts:
        box = each.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, each.get_text()
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, each.get_text()
    ticks = sorted(each.get_window_extent().x0 for each in texts if each.get_text() in ("1", "2", "4", "8", "24"))
    assert min(np.diff(ticks)) > 10

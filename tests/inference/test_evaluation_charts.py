"""Charts: nothing that they say lies outside their picture."""

import numpy as np
import pytest
from matplotlib.text import Text

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

"""Curves of a row with several seeds."""

import re

import pytest

from deeplab_lit.reports.svg_charts import curves_chart, over_runs


def test_the_line_is_the_mean_and_the_band_goes_from_the_lowest_to_the_highest():
    mean, lowest, highest = over_runs([([9, 19, 29], [1.0, 2.0, 3.0]), ([9, 19, 29], [2.0, 0.0, 7.0])])
    assert mean == ([9, 19, 29], [1.5, 1.0, 5.0])
    assert lowest == ([9, 19, 29], [1.0, 0.0, 3.0]) and highest == ([9, 19, 29], [2.0, 2.0, 7.0])


def test_steps_that_a_seed_lacks_are_left_out():
    """A run that was stopped has fewer; a mean over other seeds at each step would jump."""
    mean, *_ = over_runs([([9, 19, 29], [1.0, 2.0, 3.0]), ([19, 29, 39], [4.0, 5.0, 6.0])])
    assert mean == ([19, 29], [3.0, 4.0])


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_row_is_one_line_and_has_a_band_with_several_seeds(seeds):
    run = {"train/loss": ([9.0, 19.0], [2.0, 1.0]), "val/miou": ([9.0, 19.0], [10.0, 20.0])}
    text = curves_chart({"msc": [run] * seeds, "coco": [run] * seeds})
    bands = re.findall(r'id="(?:FillBetween)?PolyCollection_\d+"', text)
    assert len(bands) == (4 if seeds > 1 else 0)
    assert len(re.findall(r">(?:msc|coco)</text>", text)) == 2  # in the legend

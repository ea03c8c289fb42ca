"""What the parts of a factorial bring, on values that were made up from known effects."""

import itertools

import numpy as np
import pytest

from deeplab_lit.reports.collect import Report, Row
from deeplab_lit.reports.effects import effects

HEADS = {"baseline": 0.0, "LargeFOV": 1.5, "ASPP": 2.25}


class Fixed(Row):
    """A row whose values are given."""

    def __init__(self, marks, miou, crf):
        super().__init__("-".join(marks), "", marks, {})
        self.fixed = {"miou": [miou], "crf_miou": [] if crf is None else [crf]}

    def values(self, scale, measure):
        return self.fixed[measure]


def factorial(missing=()):
    rng = np.random.default_rng(0)
    rows = []
    for msc, aug, head in itertools.product((0, 1), (0, 1), HEADS):
        marks = ["MSC"] * msc + ["Aug"] * aug + [head] * (head != "baseline")
        # MSC helps by 2, and by 1 more where there is Aug, which brings 3 itself
        miou = 60 + 2 * msc + 3 * aug + msc * aug + HEADS[head]
        if marks not in missing:
            rows.append(Fixed(marks, miou, miou + 1.25))
    rng.shuffle(rows)
    return Report("factorial", rows)


def test_each_part_is_a_mean_over_the_settings_of_the_others():
    found = {each.part: each for each in effects(factorial(), "mini")}
    assert set(found) == {"MSC", "Aug", "LargeFOV", "ASPP", "CRF"}
    assert sorted(found["MSC"].gains) == pytest.approx([2, 2, 2, 3, 3, 3])
    assert sorted(found["Aug"].gains) == pytest.approx([3, 3, 3, 4, 4, 4])
    assert found["LargeFOV"].gains == pytest.approx([1.5] * 4)
    assert found["ASPP"].crf_gains == pytest.approx([2.25] * 4)
    assert found["CRF"].gains == pytest.approx([1.25] * 12) and found["CRF"].crf_gains == []
    assert found["MSC"].line() == ["MSC", "6", "+2.50", "+2.00", "+3.00", "+2.50"]


def test_rows_that_are_missing_take_their_pairs_with_them():
    found = {each.part: each for each in effects(factorial(missing=[["MSC", "Aug"]]), "mini")}
    assert len(found["MSC"].gains) == 5 and len(found["LargeFOV"].gains) == 3


def test_the_papers_order_alone_attributes_nothing():
    """There each part was added once, to one setting."""
    rows = [Fixed([], 68.72, None), Fixed(["MSC"], 71.27, None), Fixed(["MSC", "COCO"], 73.28, None)]
    assert effects(Report("table4_resnet101", rows), "full") == []

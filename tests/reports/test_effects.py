"""What the parts of a factorial bring, on values that were made up from known effects."""

import itertools

import numpy as np
import pytest

from deeplab_lit.reports.effects import effects, mean_gain
from deeplab_lit.reports.report_rows import Report, Row
from deeplab_lit.utils.over_seeds import OverSeeds

HEADS = {"baseline": 0.0, "LargeFOV": 1.5, "ASPP": 2.25}


class Fixed(Row):
    """A row whose values are given, one for each seed."""

    def __init__(self, marks, miou, crf):
        super().__init__("-".join(marks), "", marks, {})
        self.fixed = {"miou": miou, "crf_miou": crf}

    def measured(self, budget, measure):
        values = self.fixed[measure]
        return OverSeeds(values) if values else None


def factorial(missing=(), seeds=(0,)):
    """MSC brings 2, Aug 3, and both together 1 more; with each further seed MSC brings 0.5 more."""
    rng = np.random.default_rng(0)
    rows = []
    for msc, aug, head in itertools.product((0, 1), (0, 1), HEADS):
        marks = ["MSC"] * msc + ["Aug"] * aug + [head] * (head != "baseline")
        miou = {
            seed: 60 + 7 * seed + (2 + 0.5 * seed) * msc + 3 * aug + msc * aug + HEADS[head]
            for seed in seeds
            if (marks, seed) not in missing
        }
        if miou:
            rows.append(Fixed(marks, miou, {seed: value + 1.25 for seed, value in miou.items()}))
    rng.shuffle(rows)
    return Report("factorial", rows)


def settings(gains):
    return [each.mean for each in gains]


def test_each_part_is_a_mean_over_the_settings_of_the_others():
    found = {each.part: each for each in effects(factorial(), "mini")}
    assert set(found) == {"MSC", "Aug", "LargeFOV", "ASPP", "CRF"}
    assert sorted(settings(found["MSC"].gains)) == pytest.approx([2, 2, 2, 3, 3, 3])
    assert sorted(settings(found["Aug"].gains)) == pytest.approx([3, 3, 3, 4, 4, 4])
    assert settings(found["LargeFOV"].gains) == pytest.approx([1.5] * 4)
    assert settings(found["ASPP"].crf_gains) == pytest.approx([2.25] * 4)
    assert settings(found["CRF"].gains) == pytest.approx([1.25] * 12) and found["CRF"].crf_gains == []


def test_with_one_seed_the_spread_over_the_settings_is_no_interval():
    found = {each.part: each for each in effects(factorial(), "mini")}
    assert found["MSC"].line() == ["MSC", "6", "+2.50 ~", "one seed", "+2.00", "+3.00", "+2.50 ~", "one seed"]


def test_the_interval_is_over_seeds_of_the_mean_over_settings():
    """MSC's means over six settings are 2.5, 3 and 3.5: 3 with deviation 0.5, and t of two degrees is 4.3027."""
    found = {each.part: each for each in effects(factorial(seeds=(0, 1, 2)), "mini")}
    half = 4.3027 * 0.5 / 3**0.5
    effect = mean_gain(found["MSC"].gains)
    assert effect.values == pytest.approx({0: 2.5, 1: 3.0, 2: 3.5}) and effect.interval == pytest.approx(
        (3 - half, 3 + half), abs=1e-4
    )
    line = ["MSC", "6", "+3.00 ± 0.50", "+1.76 to +4.24", "+2.50", "+3.50", "+3.00 ± 0.50", "+1.76 to +4.24"]
    assert found["MSC"].line() == line
    # what is equal for all seeds has no width, though its settings differ
    assert found["Aug"].line()[2:6] == ["+3.50 ± 0.00", "+3.50 to +3.50", "+3.00", "+4.00"]


def test_rows_that_are_missing_take_their_pairs_with_them():
    found = {each.part: each for each in effects(factorial(missing=[(["MSC", "Aug"], 0)]), "mini")}
    assert len(found["MSC"].gains) == 5 and len(found["LargeFOV"].gains) == 3


def test_a_seed_that_lacks_a_setting_is_left_out():
    """Else means over different settings would be taken for a difference of seeds."""
    report = factorial(missing=[(["MSC", "Aug"], 1)], seeds=(0, 1, 2))
    found = {each.part: each for each in effects(report, "mini")}
    assert mean_gain(found["MSC"].gains).values == pytest.approx({0: 2.5, 2: 3.5})
    assert set(mean_gain(found["ASPP"].gains).values) == {0, 2}  # of which MSC + Aug is the start
    assert len(found["CRF"].gains) == 12


def test_the_papers_order_alone_attributes_nothing():
    """There each part was added once, to one setting."""
    values = (([], 68.72), (["MSC"], 71.27), (["MSC", "COCO"], 73.28))
    rows = [Fixed(marks, {0: miou}, None) for marks, miou in values]
    assert effects(Report("table4_resnet101", rows), "full") == []

"""Means, deviations and intervals over seeds, beside numbers of tables, of SciPy and of simulated draws."""

import numpy as np
import pytest
from scipy import stats

from deeplab_lit.utils.over_seeds import OverSeeds, signed


def of(*values):
    return OverSeeds(dict(enumerate(values)))


def test_an_example_worked_by_hand():
    """Differences 1, 2 and 3: deviation 1, and 4.3027 is the 97.5 % quantile of t with 2 degrees in printed tables."""
    gain = of(71.0, 73.0, 76.0).over(of(70.0, 71.0, 73.0))
    assert gain.values == {0: 1.0, 1: 2.0, 2: 3.0} and (gain.mean, gain.deviation) == (2.0, 1.0)
    assert gain.interval == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert gain.as_gain == "+2.00 ± 1.00 ~" and gain.interval_text == "-0.48 to +4.48" and str(gain) == "2.00 ± 1.00"
    assert of(1.0, 2.0).interval == pytest.approx((1.5 - 12.706 * 0.5, 1.5 + 12.706 * 0.5), abs=1e-3)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_the_interval_is_scipys(count):
    values = np.random.default_rng(count).normal(1.0, 0.5, count)
    expected = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert of(*values.tolist()).interval == pytest.approx(expected)
    assert of(*values.tolist()).deviation == pytest.approx(values.std(ddof=1))


def test_the_interval_of_three_seeds_misses_the_truth_once_in_twenty():
    draws = np.random.default_rng(0).normal(0.0, 0.7, (4000, 3))
    missed = np.mean([not of(*draw).within_noise for draw in draws.tolist()])
    assert missed == pytest.approx(0.05, abs=0.01)


def test_pairing_takes_out_what_two_rows_of_a_seed_share():
    """Seeds differ by points, and each gains about 1: means of their own would say nothing."""
    before, now = of(60.0, 65.0, 70.0), of(61.0, 66.1, 70.9)
    gain = now.over(before)
    assert gain.mean == pytest.approx(now.mean - before.mean) and not gain.within_noise
    apart = stats.ttest_ind([61.0, 66.1, 70.9], [60.0, 65.0, 70.0])
    paired = stats.ttest_rel([61.0, 66.1, 70.9], [60.0, 65.0, 70.0])
    assert apart.pvalue > 0.5 > 0.05 > paired.pvalue
    assert gain.interval == pytest.approx(tuple(paired.confidence_interval(0.95)))


def test_only_seeds_of_both_are_paired():
    assert OverSeeds({0: 5.0, 2: 7.0, 3: 1.0}).over(OverSeeds({0: 4.0, 1: 9.0, 3: 3.0})).values == {0: 1.0, 3: -2.0}
    assert OverSeeds({0: 5.0}).over(OverSeeds({1: 4.0})) is None


def test_one_seed_has_neither_deviation_nor_interval_and_is_noise():
    gain = of(12.5)
    assert gain.deviation is None and gain.interval is None and gain.within_noise
    assert (gain.as_gain, gain.interval_text, str(gain)) == ("+12.50 ~", "one seed", "12.50")


def test_equal_gains_leave_no_doubt():
    assert not of(0.5, 0.5, 0.5).within_noise and of(0.0, 0.0, 0.0).within_noise


def test_no_difference_has_no_minus():
    assert [signed(value) for value in (-0.001, 0.0, 1.25, None)] == ["+0.00", "+0.00", "+1.25", ""]

"""The search over a grid, against the whole grid."""

from itertools import product

import numpy as np
import pytest

from deeplab_lit.inference.coarse_to_fine import coarse_to_fine, steps


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_peak_of_a_hill_and_looks_at_few_points(seed):
    rng = np.random.default_rng(seed)
    axes = [list(range(3, 7)), list(range(30, 110, 10)), list(range(3, 10))]
    peak = [rng.choice(axis) for axis in axes]
    asked = []

    def score(point):
        asked.append(point)
        return -sum(((a - b) / (axis[-1] - axis[0])) ** 2 for a, b, axis in zip(point, peak, axes, strict=True))

    best, known = coarse_to_fine(axes, score)
    assert best == max(product(*axes), key=score) == tuple(peak)
    assert known[best] == 0
    asked = asked[: len(known)]
    assert len(set(asked)) == len(asked) == len(known) < len(list(product(*axes))) / 2


def test_one_point_and_one_line():
    assert coarse_to_fine([[4.0], [50.0], [3.0]], sum)[0] == (4, 50, 3)
    assert coarse_to_fine([[1.0], [1.0, 2.0, 3.0, 4.0, 5.0], [1.0]], lambda p: -abs(p[1] - 4))[0] == (1, 4, 1)


def test_stages_say_what_they_will_look_at():
    told = []
    _, known = coarse_to_fine([list(range(9)), [1.0]], lambda p: -p[0], lambda stride, new: told.append((stride, new)))
    assert sum(new for _, new in told) == len(known) and told[0][0] > told[-1][0] == 1


def test_steps_end_where_they_are_told_to():
    assert steps(3, 6, 1) == [3, 4, 5, 6]
    assert steps(30, 100, 30) == [30, 60, 90, 100]
    assert steps(5, 5, 1) == [5]
    assert steps(0.1, 0.3, 0.1) == pytest.approx([0.1, 0.2, 0.3])
    for low, high, step in ((0.1, 0.3, 0.1), (0, 0.7, 0.1), (-0.3, 0, 0.1), (1, 1.6, 0.2), (0.7, 0.7, 0.1)):
        values = steps(low, high, step)
        assert values[-1] == high and np.diff(values).min(initial=step) > 0.9 * step, values

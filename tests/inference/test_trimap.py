"""Bands around boundaries, against every pair of pixels."""

import numpy as np
import pytest

from deeplab_lit.data.labels import VOID
from deeplab_lit.inference.metrics import Scores
from deeplab_lit.inference.trimap import Trimap, boundary_distance


def truth_with_void(seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (4, 5)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    truth[15:17, 8:30], truth[3:25, 20] = VOID, VOID
    return truth, rng.integers(0, 3, truth.shape).astype(np.uint8)


def brute_distance(truth):
    rows, columns = np.nonzero(truth == VOID)
    y, x = np.mgrid[: truth.shape[0], : truth.shape[1]]
    return np.maximum(np.abs(y[..., None] - rows), np.abs(x[..., None] - columns)).min(2)


def test_bands_are_the_pixels_within_so_many_of_the_void():
    truth, guess = truth_with_void()
    distance = brute_distance(truth)
    np.testing.assert_allclose(boundary_distance(truth), distance, atol=1e-4)
    trimap = Trimap(3, 12)
    trimap.rings += trimap.count(guess, truth, boundary_distance(truth))
    for each in trimap.curve():
        band = (distance <= each["width"]) & (truth != VOID)
        matrix = np.zeros((3, 3), np.int64)
        np.add.at(matrix, (truth[band], guess[band]), 1)
        assert each["pixel_accuracy"] == pytest.approx((truth[band] == guess[band]).mean())
        assert each["miou"] == pytest.approx(Scores.of(matrix).miou)


@pytest.mark.parametrize("seed", range(3))
def test_without_void_the_distance_is_that_to_another_class_diagonals_included(seed):
    rng = np.random.default_rng(seed)
    truth = np.zeros((17, 23), np.uint8)
    truth[tuple(rng.integers(0, side, 4) for side in truth.shape)] = rng.integers(1, 3, 4)
    y, x = np.mgrid[: truth.shape[0], : truth.shape[1]]
    y, x, classes = y.ravel(), x.ravel(), truth.ravel()
    far = np.maximum(abs(y[:, None] - y), abs(x[:, None] - x)).astype(float)
    expected = np.where(classes[:, None] == classes, np.inf, far).min(1).reshape(truth.shape)
    np.testing.assert_allclose(boundary_distance(truth), expected, atol=1e-4)


def test_without_void_the_edges_count():
    truth = np.zeros((6, 10), np.uint8)
    truth[:, 5:] = 1
    distance = boundary_distance(truth)
    np.testing.assert_allclose(distance[0], [5, 4, 3, 2, 1, 1, 2, 3, 4, 5])
    assert np.isinf(boundary_distance(np.zeros((4, 4), np.uint8))).all()
    trimap = Trimap(2, 3)
    assert trimap.count(truth, np.zeros_like(truth), np.full(truth.shape, np.inf, np.float32)).sum() == 0
    assert np.isnan(trimap.curve()[0]["miou"])

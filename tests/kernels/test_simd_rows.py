"""The hand-written vector code against one line of numpy each, as docs/kernels.md states them."""

import numpy as np
import pytest
from numba import njit

from deeplab_lit.kernels.half_precision import stores_half
from deeplab_lit.kernels.simd_rows import blur_row, copy_row, splat_row, update_row

KINDS = [np.float32, pytest.param(np.uint16, marks=pytest.mark.skipif(not stores_half(), reason="no half precision"))]
LANES = [8, 16, 32, 64]
POINTS = 40


@njit
def blur(old, p, left, right, new, place, lanes):
    blur_row(old, p, left, right, new, place, lanes)


@njit
def splat(marginals, pixels, shares, start, stop, values, p, lanes):
    splat_row(marginals, pixels, shares, start, stop, values, p, lanes)


@njit
def update(unary, n, near, near_weights, near_values, six, close, close_weights, close_values, three, into, at, lanes):
    update_row(
        unary, n, near, near_weights, near_values, six, close, close_weights, close_values, three, into, at, lanes
    )


@njit
def copy(source, p, target, place, lanes):
    copy_row(source, p, target, place, lanes)


def stored(values, kind):
    """Values as rows lie in memory: float32, or half precision as uint16."""
    return values.astype(np.float16).view(np.uint16) if kind is np.uint16 else values.astype(np.float32)


def read(rows):
    return rows.view(np.float16).astype(np.float64) if rows.dtype == np.uint16 else rows.astype(np.float64)


def rows_of(rng, lanes, kind, count=POINTS):
    return stored(rng.random((count, lanes)), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lanes", LANES)
def test_rows(kind, lanes):
    rng, tolerance = np.random.default_rng(lanes), {"rtol": 2e-3 if kind is np.uint16 else 1e-5, "atol": 1e-6}
    old, new = rows_of(rng, lanes, kind), rows_of(rng, lanes, kind)
    before = read(new)
    blur(old, 3, 7, 39, new, 5, (0,) * (lanes // 8))
    np.testing.assert_allclose(read(new)[5], read(old)[3] + (read(old)[7] + read(old)[39]) / 2, **tolerance)
    np.testing.assert_array_equal(np.delete(read(new), 5, 0), np.delete(before, 5, 0))

    pixels, shares = rng.integers(0, POINTS, 100).astype(np.int32), rng.random(100).astype(np.float32)
    for start, stop in ((0, 100), (13, 14), (20, 20), (99, 100)):
        splat(old, pixels, shares, start, stop, new, 0, (0,) * (lanes // 8))
        np.testing.assert_allclose(read(new)[0], shares[start:stop] @ read(old)[pixels[start:stop]], **tolerance)

    copied = np.zeros((POINTS, lanes), np.float32)
    copy(old, 4, copied, 6, (0,) * (lanes // 8))
    np.testing.assert_allclose(copied[6], read(old)[4], **tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lanes", LANES)
def test_update(kind, lanes):
    rng = np.random.default_rng(lanes)
    unary = rng.normal(0, 5, (POINTS, lanes)).astype(np.float32)
    filters, score = [], unary.astype(np.float64)
    for corners in (6, 3):
        vertices = rng.integers(0, POINTS, (POINTS, corners)).astype(np.int32)
        weights = rng.normal(0, 2, (POINTS, corners)).astype(np.float32)
        values = rows_of(rng, lanes, kind)
        filters += [vertices, weights, values, (0,) * corners]
        score = score + np.einsum("nk,nkl->nl", weights, read(values)[vertices])
    expected = np.exp(score - score.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    into = np.zeros((POINTS, lanes), np.float32)
    for n in range(POINTS):
        update(unary, n, *filters, into, n, (0,) * (lanes // 8))
    np.testing.assert_allclose(into, expected, atol=2e-5)

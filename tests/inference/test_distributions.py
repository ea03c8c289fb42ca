"""Distributions made of what other programs saved: every type and form they come in, and what is none."""

import numpy as np
import pytest

from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import coarse_probabilities, photograph

P = coarse_probabilities(photograph(20, 30), 5)


def saved(folder, array, name="a.npy", **named):
    if name.endswith(".npz"):
        np.savez_compressed(folder / name, **(named or {"arr_0": array}))
    else:
        np.save(folder / name, array)
    return folder / name


@pytest.mark.parametrize(("kind", "off"), [("float16", 1e-3), ("float32", 1e-6), ("float64", 1e-6)])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_floats(tmp_path, kind, off, name):
    found = read_distribution(saved(tmp_path, P.astype(kind), name), (20, 30))
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, P, atol=off)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_bytes(tmp_path):
    found = read_distribution(saved(tmp_path, np.round(P * 255).astype(np.uint8)), (20, 30))
    np.testing.assert_allclose(found, P, atol=0.02)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_the_array_of_that_name_and_the_other_order(tmp_path):
    file = saved(tmp_path, None, "a.npz", probabilities=P, size=np.array([20, 30]))
    np.testing.assert_allclose(read_distribution(file, (20, 30)), P, atol=1e-6)
    turned = saved(tmp_path, P.transpose(1, 2, 0), "b.npy")
    np.testing.assert_allclose(read_distribution(turned, (20, 30)), P, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.log(P), "so it holds no probabilities: type values=logits"),
        (P * 2, "adds up to 2 to 2 over the classes instead of 1"),
        (np.where(P > 2, 0, np.nan).astype(np.float32), "it holds NaN or infinity"),
        (P[:, :, :20], r"\(5, 20, 20\) for an image of \(20, 30\)"),
        (P.transpose(0, 2, 1), r"\(5, 30, 20\) for an image of \(20, 30\)"),
        (P.argmax(0).astype(np.uint8), r"uint8 \(20, 30\): give \(C, H, W\)"),
        (P.astype(np.complex64), "it is complex64"),
        (np.full((300, 20, 30), 1 / 300, np.float32), "classes from 0 to 299: they are numbered from 0 to 254"),
        (np.array([{}, {}], dtype=object), "it holds an array of Python objects"),
    ],
)
def test_what_are_no_probabilities(tmp_path, array, words):
    with pytest.raises(UserError, match=words):
        read_distribution(saved(tmp_path, array), (20, 30))


def test_broken_files(tmp_path):
    file = saved(tmp_path, P, "a.npz")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read as an array"):
        read_distribution(file, (20, 30))
    two = saved(tmp_path, None, "two.npz", one=P, other=P)
    with pytest.raises(UserError, match="it holds one, other: say which of them is the array of scores, array=NAME"):
        read_distribution(two, (20, 30))

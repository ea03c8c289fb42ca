"""Distributions made of what other programs saved: every type and form they come in, and what is none."""

import cv2
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.special import softmax

from deeplab_lit.config.command_schemas import ScoreFilesConfig
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


LOGITS = (np.random.default_rng(0).random((5, 10, 15)) * 20 - 10).astype(np.float32)


def read(folder, content, classes=None, size=(20, 30), **form):
    return read_distribution(saved(folder, content), size, ScoreFilesConfig(**form), classes)


def test_logits_are_enlarged_before_the_softmax(tmp_path):
    large = np.stack([cv2.resize(each, (30, 20), interpolation=cv2.INTER_LINEAR) for each in LOGITS])
    found = read(tmp_path, LOGITS, values="logits")
    np.testing.assert_allclose(found, softmax(large, 0), atol=1e-5)
    rows, columns = np.linspace(0, 9, 20), np.linspace(0, 14, 30)
    at = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
    corners = np.stack([RegularGridInterpolator((np.arange(10), np.arange(15)), each)(at) for each in LOGITS])
    aligned = read(tmp_path, LOGITS, values="logits", align_corners=True)
    np.testing.assert_allclose(aligned, softmax(corners, 0), atol=1e-5)
    assert np.abs(aligned - found).max() > 0.01
    np.testing.assert_allclose(read(tmp_path, {"msc_seg": LOGITS[None]}, values="logits"), found)
    np.testing.assert_allclose(read(tmp_path, LOGITS + 1000, values="logits"), found, atol=1e-3)


def test_probabilities_of_a_smaller_map(tmp_path):
    small = softmax(LOGITS, 0)
    large = np.stack([cv2.resize(each, (30, 20), interpolation=cv2.INTER_LINEAR) for each in small])
    found = read(tmp_path, small, classes=5)
    np.testing.assert_allclose(found, large, atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


def test_maps_of_some_classes_with_the_background(tmp_path):
    small = softmax(LOGITS[:3], 0)
    found = read(tmp_path, {0: small[0], 7: small[2], 4: small[1]}, zero_is="background", classes=21)
    assert found.shape == (21, 20, 30)
    np.testing.assert_allclose(found[[0, 4, 7]], read(tmp_path, small), atol=1e-6)
    assert (np.delete(found, [0, 4, 7], 0) == 0).all()
    content = {"keys": [0, 7], "cam": LOGITS[:2]}
    found = read(tmp_path, content, zero_is="background", values="logits")
    assert found.shape == (8, 20, 30) and (found[1:7] == 0).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "form", "words"),
    [
        (P, {"values": "logits"}, "runs from 0.* adds up to 1 over the classes, as probabilities do: type values=prob"),
        (np.full((5, 20, 30), 7, np.uint8), {"values": "logits"}, "it is uint8, .* type values=probabilities"),
        (LOGITS, {}, "it runs from -9.* to 9.* instead of 1, so it holds no probabilities: type values=logits"),
        (P[1:] * 3, {}, "of class activation maps make masks with the command pseudo"),
        (
            {4: P[0]},
            {"zero_is": "foreground"},
            "foreground classes without a background: make masks of it with the com",
        ),
        ({4: P[0], 5: 1 - P[0]}, {"zero_is": "background"}, "without a background: make masks of it with the command"),
        (P[:1] * 0 + 1, {"zero_is": "foreground"}, "without a background"),
        ({}, {"zero_is": "foreground"}, "without a background"),
        (P, {"classes": 6}, "it has 5 classes instead of the 6 of the class list"),
        ({0: P[0], 7: 1 - P[0]}, {"classes": 6, "zero_is": "background"}, "it has 8 classes instead of the 6"),
    ],
)
def test_what_contradicts_the_keys(tmp_path, content, form, words):
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path, content, **form)
    assert "\n" not in str(caught.value)

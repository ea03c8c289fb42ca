"""Masks of activation maps against the code bases' rules, written out in NumPy."""

from contextlib import nullcontext

import numpy as np
import pytest

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.crf import DenseCRF, preset
from deeplab_lit.data.score_files import ScoreMaps
from deeplab_lit.inference.cam_masks import mask_and_confidence, mask_between, mask_of
from deeplab_lit.inference.cams import CAMs, read_cam_scores, refuse_background_first
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph

SIZE = (40, 56)
IMAGE = photograph(*SIZE, 3)
RNG = np.random.default_rng(1)


def blob(y, x):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 150).astype(np.float32)


MAPS = np.stack([blob(12, 15), blob(28, 40)])
CAM = CAMs.of(ScoreMaps((5, 15), MAPS, 0.0, True))
KEYS = np.array([0, 5, 15], np.uint8)
SHARES = RNG.dirichlet(np.ones(20), SIZE).transpose(2, 0, 1)
WEAK = np.array([[[1]], [[1]], [[0.2]]], np.float32)  # a third map, above the lower threshold alone


def irn(maps, keys, threshold, crf):
    """The mask of one threshold, pixel by pixel, refined as IRN does: gt_prob=0.7, n_labels=K + 1."""
    places = np.zeros(SIZE, np.uint8)
    probabilities = np.zeros((len(keys), *SIZE), np.float32)
    for y, x in np.ndindex(SIZE):
        scores = [threshold, *maps[:, y, x]]
        places[y, x] = scores.index(max(scores))
        probabilities[:, y, x] = 0.3 / (len(keys) - 1)
        probabilities[places[y, x], y, x] = 0.7
    return keys[places if crf is None else crf.labels(IMAGE, probabilities)]


@pytest.mark.parametrize("name", ["none", "irn_labels"])
def test_irn_s_two_thresholds(name):
    maps, keys = np.concatenate([MAPS, blob(34, 6)[None]]) * WEAK, np.array([0, 5, 15, 20], np.uint8)
    cams = CAMs.of(ScoreMaps((5, 15, 20), maps, 0.0, True))
    found = mask_between(IMAGE, cams, 0.30, 0.05, preset(name))
    crf = preset(name) and DenseCRF(10, 50, 5, 3, 3)
    foreground, background = (irn(maps, keys, threshold, crf) for threshold in (0.30, 0.05))
    for y, x in np.ndindex(SIZE):
        expected = foreground[y, x] or (0 if background[y, x] == 0 else 255)
        assert found[y, x] == expected
    assert {5, 15, 255} <= {*np.unique(found).tolist()} and 20 in background and 20 not in foreground


def test_the_highest_score_is_taken_and_what_is_not_certain_is_void():
    scores = np.concatenate([(1 - MAPS.max(0, keepdims=True)) ** 4, MAPS])
    expected = KEYS[scores.argmax(0)]
    np.testing.assert_array_equal(mask_of(IMAGE, scores, KEYS, None, None), expected)
    found = mask_of(IMAGE, scores, KEYS, None, 0.8)
    sure = (scores / scores.sum(0)).max(0) >= 0.8
    np.testing.assert_array_equal(found, np.where(sure, expected, 255))
    assert 0 < sure.mean() < 1


def test_the_crf_takes_scores_divided_by_their_sum():
    scores = np.concatenate([1 - MAPS.max(0, keepdims=True), MAPS])
    crf = preset("clip_es_labels")
    refined = crf(IMAGE, scores / scores.sum(0))
    np.testing.assert_array_equal(mask_of(IMAGE, scores, KEYS, crf, None), KEYS[refined.argmax(0)])
    found = mask_of(IMAGE, scores, KEYS, crf, 0.95)
    np.testing.assert_array_equal(found, np.where(refined.max(0) < 0.95, 255, KEYS[refined.argmax(0)]))
    assert (found == 255).any()


def test_an_image_without_maps_is_background():
    empty = CAMs.of(ScoreMaps((), np.zeros((0, 1, 1), np.float32), 0.0, True), SIZE)
    assert empty.highest.shape == SIZE and not mask_between(IMAGE, empty, 0.3, 0.05, preset("irn_labels")).any()
    assert not mask_of(IMAGE, np.full((1, *SIZE), 0.25, np.float32), empty.classes, preset("seam_labels"), 0.9).any()
    # maps that are 0 everywhere, as of a background that the file gives
    nothing = mask_of(IMAGE, np.zeros((3, *SIZE), np.float32), KEYS, None, 0.9)
    assert nothing.shape == SIZE and not nothing.any()


def read(folder, content, tags=None, classes=21, **form):
    np.save(folder / "a.npy", content, allow_pickle=True)
    return read_cam_scores(folder / "a.npy", SIZE, ScoreFilesConfig(**{"zero_is": "foreground", **form}), classes, tags)


def test_classes_that_are_no_tags_are_left_out(tmp_path):
    found = read(tmp_path, {4: MAPS[0], 14: MAPS[1]}, tags={15, 20})
    assert found.classes == (15,)
    np.testing.assert_array_equal(found.maps, MAPS[1:])
    every = read(tmp_path, RNG.random((20, *SIZE)).astype(np.float32), tags={3})
    assert every.classes == (3,)
    assert read(tmp_path, {4: MAPS[0]}, tags=set()).classes == ()


def test_one_map_may_be_1_everywhere(tmp_path):
    """As of an object that fills the image: only several maps that add up to 1 are probabilities."""
    assert read(tmp_path, {4: np.ones(SIZE, np.float32)}).classes == (5,)
    assert read(tmp_path, {}).classes == ()


def test_confidences_are_the_highest_probabilities():
    scores = np.concatenate([1 - MAPS.max(0, keepdims=True), MAPS])
    mask, confidence = mask_and_confidence(IMAGE, scores, KEYS, None, 0.8)
    np.testing.assert_allclose(confidence, (scores / scores.sum(0)).max(0), rtol=1e-6)
    np.testing.assert_array_equal(mask, mask_of(IMAGE, scores, KEYS, None, 0.8))
    crf = preset("seam_labels")
    mask, confidence = mask_and_confidence(IMAGE, scores, KEYS, crf, None)
    np.testing.assert_allclose(confidence, crf(IMAGE, scores / scores.sum(0)).max(0), rtol=1e-5)
    np.testing.assert_array_equal(mask, mask_of(IMAGE, scores, KEYS, crf, None))
    alone = mask_and_confidence(IMAGE, scores[:1], KEYS[:1], crf, 0.9)
    assert not alone[0].any() and (alone[1] == 1).all()


@pytest.mark.parametrize(
    ("indices", "is_refused"),
    [
        ([(0, 1, 15), (0, 5), (0, 15, 20)], True),
        ([(0, 1), (0, 5), (0, 15), ()], True),  # an image without a class
        ([(0, 1), (0, 5)], False),  # too few to tell
        ([(0, 1), (0, 5), (0,)], False),
        ([(0, 1), (0, 5), (3, 4), (0, 7)], False),
    ],
)
def test_an_index_0_in_every_file_may_be_the_background(indices, is_refused):
    scores = [ScoreMaps(tuple(each + 1 for each in some), MAPS[:1], 0.0, True) for some in indices]
    arrays = [ScoreMaps(each.classes, each.maps, 0.0, False) for each in scores]
    refuse_background_first(arrays)  # arrays of all classes always have it
    words = r"each of the \d files .* index 0 .* type zero_is=background .* zero_is=foreground"
    with pytest.raises(UserError, match=words) if is_refused else nullcontext():
        refuse_background_first(scores)


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ({4: 3 * MAPS[0]}, {}, r"it runs from 0 to 3: activation maps are from 0 to 1; save each map"),
        ({4: MAPS[0] - 0.5}, {}, r"it runs from -0.5 to "),
        (
            {0: MAPS[0], 5: MAPS[1]},
            {"zero_is": "background"},
            "has a map of the background, .* save it without that map",
        ),
        ({0: 3 * MAPS[0], 5: MAPS[1]}, {"zero_is": "background"}, "values=logits"),
        (
            {0: 1 - MAPS[0], 5: MAPS[0]},
            {},
            "its 2 maps add up to 1 at each pixel, .* type background=given zero_is=backg",
        ),
        ({0: 1 - MAPS[0], 5: MAPS[0]}, {"zero_is": "background"}, "its 2 maps add up to 1 at each pixel"),
        ({0: 1 - MAPS[0], 5: MAPS[0]}, {"tags": {6}}, "its 2 maps add up to 1 at each pixel"),
        (SHARES, {}, "its 20 maps add up to 1 at each pixel, so it holds a network's probabilities"),
        (np.round(SHARES * 255).astype(np.uint8), {}, "its 20 maps add up to 1 at each pixel"),
        (SHARES.astype(np.float16), {}, "its 20 maps add up to 1 at each pixel"),
        (np.zeros((21, *SIZE), np.float32), {}, "a map of class 21, and there are 21 classes .*type background=given"),
        (
            {4: MAPS[0]},
            {"tags": {4}},
            r"maps of the classes \[5\], and the image's tags are \[4\]: .*zero_is=background",
        ),
    ],
)
def test_files_of_other_maps_are_refused(tmp_path, content, more, words):
    with pytest.raises(UserError, match=words) as raised:
        read(tmp_path, content, **more)
    assert "\n" not in str(raised.value)

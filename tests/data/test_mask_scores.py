"""Masks with confidences as scores, pixel by pixel against their definition."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.data.score_files import WrongForm, find_scores, read_scores
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.utils.errors import UserError

SIZE = (9, 12)
RNG = np.random.default_rng(0)
MASK = RNG.choice(np.array([0, 3, 7, 255], np.uint8), SIZE)
GREY = RNG.integers(0, 256, SIZE).astype(np.uint8)


def saved(path, picture):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(picture).save(path)
    return path


def test_a_mask_alone_is_certain_where_it_is_not_void(tmp_path):
    found = read_distribution(saved(tmp_path / "a.png", MASK), SIZE)
    assert found.shape == (8, *SIZE)
    for y, x in np.ndindex(SIZE):
        expected = np.zeros(8)
        expected[[0, 3, 7] if MASK[y, x] == 255 else MASK[y, x]] = 1 / 3 if MASK[y, x] == 255 else 1
        np.testing.assert_allclose(found[:, y, x], expected, atol=1e-6)


def test_a_confidence_is_the_probability_of_the_class(tmp_path):
    saved(tmp_path / "confidences/train/a.png", GREY)
    saved(tmp_path / "confidences/a.png", 0 * GREY)  # of another mask
    form = ScoreFilesConfig(confidences=str(tmp_path / "confidences"))
    found = read_scores(saved(tmp_path / "masks/train/a.png", MASK), SIZE, form)
    assert found.classes == (0, 3, 7) and found.indexed
    for y, x in np.ndindex(SIZE):
        if MASK[y, x] == 255:
            np.testing.assert_allclose(found.maps[:, y, x], 1 / 3, rtol=1e-6)
            continue
        own = [0, 3, 7].index(MASK[y, x])
        sure = max(GREY[y, x] / 255, 1.001 / 3)
        expected = np.full(3, (1 - sure) / 2)
        expected[own] = sure
        np.testing.assert_allclose(found.maps[:, y, x], expected, atol=1e-6)
        assert found.maps[:, y, x].argmax() == own


def test_a_mask_of_the_background_alone(tmp_path):
    form = ScoreFilesConfig(confidences=str(tmp_path / "confidences"))
    saved(tmp_path / "confidences/a.png", GREY)
    found = read_scores(saved(tmp_path / "a.png", 0 * MASK), SIZE, form)
    assert found.classes == (0,) and (found.maps == 1).all()


def test_masks_are_found_where_no_maps_are(tmp_path):
    saved(tmp_path / "a.png", MASK)
    assert list(find_scores(str(tmp_path))) == ["a"]
    np.save(tmp_path / "b.npy", MASK)
    assert list(find_scores(str(tmp_path))) == ["b"]


def test_what_is_no_mask_is_told(tmp_path):
    file = saved(tmp_path / "masks/a.png", MASK)
    with pytest.raises(UserError, match="it is 12x9, its image 9x12"):
        read_scores(file, SIZE[::-1], ScoreFilesConfig())
    with pytest.raises(UserError, match="void everywhere"):
        read_scores(saved(tmp_path / "void.png", np.full_like(MASK, 255)), SIZE, ScoreFilesConfig())
    given = ScoreFilesConfig(confidences=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"none/a.png does not exist"):
        read_scores(file, SIZE, given)
    np.save(tmp_path / "a.npy", np.ones((2, *SIZE), np.float32))
    with pytest.raises(WrongForm, match="confidences=.* belongs to masks"):
        read_scores(tmp_path / "a.npy", SIZE, given)
    with pytest.raises(WrongForm, match="type values=probabilities"):
        read_distribution(file, SIZE, ScoreFilesConfig(values="logits"))

"""A segmentation as its user gets it: from a loaded network, in files, and in a notebook."""

import io

import numpy as np
import pytest
from PIL import Image

import deeplab_lit
from deeplab_lit.inference.segmentation import Segmentation
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph
from tests.inference.test_trained import LABELS, save

IMAGE = photograph(30, 40)


@pytest.fixture
def segmentation():
    labels = np.zeros((30, 40), np.uint8)
    labels[:, :10] = 1
    return Segmentation(IMAGE, labels, LABELS)


def test_names_colours_and_overlay_are_those_of_the_labels(segmentation):
    assert list(segmentation.names.items()) == [("sky", 0.75), ("road", 0.25)]
    assert repr(segmentation) == "Segmentation of 40 x 30 pixels: sky 75.0 %, road 25.0 %"
    assert (segmentation.colours[:, :10] == (4, 5, 6)).all() and (segmentation.colours[:, 10:] == (1, 2, 3)).all()
    blended = 0.4 * IMAGE + 0.6 * segmentation.colours
    assert segmentation.overlay.dtype == np.uint8 and np.abs(segmentation.overlay - blended).max() <= 0.51
    only = Segmentation(IMAGE, np.ones((30, 40), np.uint8), LABELS)
    assert only.names == {"road": 1.0}


def test_what_is_saved_and_shown(segmentation, tmp_path):
    segmentation.save(tmp_path / "a.png")
    segmentation.save(str(tmp_path / "b.png"), overlay=True)
    with Image.open(tmp_path / "a.png") as mask, Image.open(tmp_path / "b.png") as picture:
        assert mask.mode == "P" and mask.getpalette()[:6] == [1, 2, 3, 4, 5, 6]
        np.testing.assert_array_equal(mask, segmentation.labels)
        np.testing.assert_array_equal(picture, segmentation.overlay)
    with Image.open(io.BytesIO(segmentation._repr_png_())) as shown:
        np.testing.assert_array_equal(shown, segmentation.overlay)
    with pytest.raises(UserError, match=r"a\.jpg: the name of a saved segmentation ends in \.png"):
        segmentation.save(tmp_path / "a.jpg")


def test_a_network_segments_what_it_predicts(tmp_path):
    save(tmp_path / "a.ckpt")
    network = deeplab_lit.load(tmp_path / "a.ckpt").to("cpu")
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    found = network.segment(tmp_path / "a.png", crf="v2_resnet101")
    np.testing.assert_array_equal(found.labels, network.predict(IMAGE, crf="v2_resnet101"))
    assert found.labels.dtype == np.uint8 and np.array_equal(found.image, IMAGE)
    assert sum(found.names.values()) == pytest.approx(1)

"""Hard labels as unaries: against pydensecrf's own function, and as IRN calls it."""

import numpy as np
import pytest

from deeplab_lit.crf import DenseCRF, preset
from deeplab_lit.crf.hard_labels import probabilities_of
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import V2_RESNET, coarse_probabilities, photograph

IMAGE = photograph(70, 90)
MASK = np.array([0, 7, 15], np.uint8)[coarse_probabilities(IMAGE, 3).argmax(0)]


def test_probabilities_are_pydensecrfs():
    """Its labels are numbered from 1, and 0 is what nobody knows."""
    utils = pytest.importorskip("pydensecrf.utils")
    mask = MASK.copy()
    mask[:9] = 255
    numbered = np.select([mask == 0, mask == 7, mask == 15], [1, 2, 3])
    expected = utils.unary_from_labels(numbered, 3, 0.7, zero_unsure=True)
    found = probabilities_of(mask, 0.7)
    assert found.shape == (16, 70, 90)
    np.testing.assert_allclose(-np.log(found[[0, 7, 15]]).reshape(3, -1), expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    assert (np.delete(found, [0, 7, 15], 0) == 0).all()


def test_irns_crf_is_irns():
    """The classes present alone, renumbered, as its code calls pydensecrf."""
    dcrf, utils = pytest.importorskip("pydensecrf.densecrf"), pytest.importorskip("pydensecrf.utils")
    crf = preset("irn_labels")
    keys = np.unique(MASK)
    field = dcrf.DenseCRF2D(90, 70, len(keys))
    field.setUnaryEnergy(utils.unary_from_labels(np.searchsorted(keys, MASK), len(keys), 0.7, zero_unsure=False))
    field.addPairwiseGaussian(sxy=3, compat=3)
    field.addPairwiseBilateral(sxy=50, srgb=5, rgbim=IMAGE, compat=10)
    expected = keys[np.argmax(field.inference(10), 0)].reshape(70, 90)
    assert (expected != MASK).any()  # the CRF does something here
    assert (crf.labels(IMAGE, MASK) == expected).mean() >= 0.9998
    np.testing.assert_array_equal(crf.labels(IMAGE, MASK), crf(IMAGE, MASK).argmax(0))
    # given as a network's probabilities, the most probable classes are the labels
    soft = 0.6 * np.eye(21, dtype=np.float32)[MASK].transpose(2, 0, 1) + 0.4 / 21
    np.testing.assert_array_equal(crf.labels(IMAGE, soft.astype(np.float32)), crf.labels(IMAGE, MASK))
    assert crf(IMAGE, soft.astype(np.float32)).shape == (21, 70, 90)


def test_one_class_and_void():
    crf = DenseCRF(**V2_RESNET, certainty=0.7, prune_threshold=0)
    assert (crf.labels(IMAGE, np.full((70, 90), 4)) == 4).all()
    holes = MASK.copy()
    holes[20:30, 20:30] = 255
    assert set(np.unique(crf.labels(IMAGE, holes))) <= {0, 7, 15}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (MASK[:9], r"labels are uint8 \(9, 90\) for an image of \(70, 90\)"),
        (MASK.astype(np.float32), "labels are float32"),
        (np.full((70, 90), 255), "all void"),
        (np.full((70, 90), -1), "run from -1 to -1"),
    ],
)
def test_bad_labels(labels, words):
    with pytest.raises(UserError, match=words):
        DenseCRF(**V2_RESNET, certainty=0.7).labels(IMAGE, labels)


def test_labels_need_a_certainty():
    with pytest.raises(UserError, match="labels need a certainty"):
        DenseCRF(**V2_RESNET).labels(IMAGE, MASK)
    for wrong in (0, 1, "high"):
        with pytest.raises(UserError, match="crf.certainty="):
            DenseCRF(**V2_RESNET, certainty=wrong)

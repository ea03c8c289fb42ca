"""Features of the appearance kernel: widths for each axis and colour, further channels, the mean-subtracted image."""

import numpy as np
import pytest

from deeplab_lit.crf import DenseCRF
from deeplab_lit.crf.features import seen
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import ENGINES, SMALL, V2_RESNET, coarse_probabilities, photograph

IMAGE = photograph(60, 80)
PROBABILITIES = coarse_probabilities(IMAGE, 4)
WIDTHS = {"bilateral_xy_std": (30, 50), "bilateral_rgb_std": (4, 6, 9), "gaussian_xy_std": (1, 3)}


@pytest.mark.parametrize("engine", ["permutohedral", "torch"])
def test_widths_and_channels_are_pydensecrfs(engine):
    pytest.importorskip("pydensecrf")
    depth = np.random.default_rng(0).normal(0, 1, (60, 80, 2)).cumsum(1) / 4
    settings = {**V2_RESNET, **WIDTHS, "prune_threshold": 0}
    for channels in (None, depth):
        expected = DenseCRF(**settings, engine="pydensecrf")(IMAGE, PROBABILITIES, channels)
        found = DenseCRF(**settings, engine=engine)(IMAGE, PROBABILITIES, channels)
        assert (found.argmax(0) == expected.argmax(0)).mean() >= 0.999
        assert np.quantile(np.abs(found - expected), 0.999) < 2e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_channel_keeps_apart_what_colours_do_not(engine):
    """Two halves of one colour: without depth the surer half takes pixels of the other, with it the border holds."""
    pytest.importorskip("pydensecrf") if engine == "pydensecrf" else None
    flat = np.full((40, 40, 3), 100, np.uint8)
    unsure = np.full((2, 40, 40), 0.5, np.float32)
    unsure[:, :, :20], unsure[:, :, 20:] = np.array([0.9, 0.1])[:, None, None], np.array([0.45, 0.55])[:, None, None]
    crf = DenseCRF(**SMALL, normalization="after", engine=engine)
    truth = np.repeat([[0, 1]], 20, 1).repeat(40, 0)
    assert (crf.labels(flat, unsure) == truth).mean() < 0.9
    assert (crf.labels(flat, unsure, 8 * truth) == truth).all()


def test_one_width_is_the_same_for_all():
    spread = {"bilateral_xy_std": (67, 67), "bilateral_rgb_std": [3, 3, 3], "gaussian_xy_std": (1, 1)}
    one, each = DenseCRF(**V2_RESNET), DenseCRF(**{**V2_RESNET, **spread})
    np.testing.assert_allclose(each(IMAGE, PROBABILITIES), one(IMAGE, PROBABILITIES), atol=1e-6)


def test_the_mean_subtracted_image():
    """Bytes cut towards 0 and taken modulo 256, channel by channel; worked out by hand."""
    image = np.array([[[122, 117, 103], [123, 118, 105], [0, 0, 0], [255, 255, 255]]], np.uint8)
    expected = [[[255, 0, 0], [0, 1, 0], [152, 140, 134], [150, 138, 132]]]
    np.testing.assert_array_equal(seen(image, "mean_subtracted_bgr"), expected)
    assert seen(image, "rgb") is image
    other = DenseCRF(**V2_RESNET, image="mean_subtracted_bgr")
    by_hand = DenseCRF(**V2_RESNET)(seen(IMAGE, "mean_subtracted_bgr"), PROBABILITIES)
    np.testing.assert_array_equal(other(IMAGE, PROBABILITIES), by_hand)
    assert np.abs(by_hand - DenseCRF(**V2_RESNET)(IMAGE, PROBABILITIES)).max() > 0.01


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bilateral_xy_std": (3, 4, 5)}, r"crf.bilateral_xy_std=\(3, 4, 5\): it is one number, or 2 of them"),
        ({"bilateral_rgb_std": (3, 4)}, r"crf.bilateral_rgb_std=\(3, 4\): it is one number, or 3 of them"),
        ({"gaussian_xy_std": (3, 0)}, "crf.gaussian_xy_std=0: it is more than 0"),
        ({"image": "bgr"}, "crf.image='bgr': choose one of rgb, mean_subtracted_bgr"),
    ],
)
def test_bad_parameters(changed, words):
    with pytest.raises(UserError, match=words):
        DenseCRF(**{**V2_RESNET, **changed})


@pytest.mark.parametrize("channels", [np.zeros((60, 79)), np.full((60, 80), np.nan), np.zeros((1, 60, 80, 1))])
def test_bad_channels(channels):
    with pytest.raises(UserError, match=r"the CRF's channels are .* for an image of \(60, 80\)"):
        DenseCRF(**V2_RESNET)(IMAGE, PROBABILITIES, channels)


DEEP = np.random.default_rng(1).integers(0, 65536, (60, 80, 2)).astype(np.uint16)
WITH_INFRARED = np.concatenate([IMAGE, photograph(60, 80)[::-1, ::-1, :1]], 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_chosen_channels_are_those_of_an_explicit_call(engine):
    """Without their constant colours, further channels given by hand are the same kernel on a lattice of more axes."""
    pytest.importorskip("pydensecrf") if engine == "pydensecrf" else None
    settings = {**V2_RESNET, "engine": engine, "prune_threshold": 0}
    rgb = DenseCRF(**settings)
    np.testing.assert_array_equal(rgb(WITH_INFRARED, PROBABILITIES), rgb(IMAGE, PROBABILITIES))
    turned = DenseCRF(**settings, channels=[3, 1, 0])
    by_hand = rgb(np.ascontiguousarray(WITH_INFRARED[..., [3, 1, 0]]), PROBABILITIES)
    np.testing.assert_array_equal(turned(WITH_INFRARED, PROBABILITIES), by_hand)
    assert (turned.labels(WITH_INFRARED, PROBABILITIES) == by_hand.argmax(0)).mean() > 0.999
    assert np.abs(by_hand - rgb(IMAGE, PROBABILITIES)).max() > 0.01


def test_kernels_of_other_than_three_channels_are_pydensecrfs():
    """pydensecrf is given the features worked out here: positions and chosen channels over their deviations."""
    densecrf = pytest.importorskip("pydensecrf.densecrf")
    settings = {**V2_RESNET, "normalization": "symmetric", "prune_threshold": 0}
    for image, channels, values in (
        (WITH_INFRARED, [3], WITH_INFRARED[..., 3:]),
        (WITH_INFRARED, [0, 1, 2, 3], WITH_INFRARED),
        (np.ascontiguousarray(IMAGE[..., :1]), None, IMAGE[..., :1]),
        (DEEP, None, DEEP / 257),
        (DEEP, [1], DEEP[..., 1:] / 257),
    ):
        field = densecrf.DenseCRF2D(80, 60, 4)
        field.setUnaryEnergy(np.ascontiguousarray(-np.log(np.maximum(PROBABILITIES, 1e-5)).reshape(4, -1)))
        field.addPairwiseGaussian(sxy=settings["gaussian_xy_std"], compat=settings["gaussian_weight"])
        rows, columns = np.mgrid[:60, :80]
        places = np.stack([columns, rows], 2) / settings["bilateral_xy_std"]
        features = np.concatenate([places, values / settings["bilateral_rgb_std"]], 2).reshape(60 * 80, -1)
        features = np.ascontiguousarray(features.T.astype(np.float32))
        field.addPairwiseEnergy(features, compat=settings["bilateral_weight"])
        expected = np.array(field.inference(10)).reshape(4, 60, 80)
        for engine, bound in (("torch", 1e-4), ("permutohedral", 1e-2)):  # which stores halves
            found = DenseCRF(**settings, channels=channels, engine=engine)(image, PROBABILITIES)
            assert (found.argmax(0) == expected.argmax(0)).mean() >= 0.999
            assert np.quantile(np.abs(found - expected), 0.999) < bound


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"channels": [4]}, r"crf.channels=\[4\]: the image has 4 channels, from 0 to 3"),
        ({"channels": []}, r"crf.channels=\[\]"),
        ({"channels": [1, 1]}, "different channels"),
        ({"channels": [-1]}, "from 0"),
        ({"channels": [3], "image": "mean_subtracted_bgr"}, "is made of RGB bytes: type crf.image=rgb"),
        ({"channels": [3], "bilateral_rgb_std": (1, 2, 3)}, "bilateral_rgb_std=.* it is one number, or 1 of them"),
    ],
)
def test_impossible_channels_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        DenseCRF(**{**V2_RESNET, **settings})(WITH_INFRARED, PROBABILITIES)

"""Probabilities of images of any size."""

import numpy as np
import pytest
import torch
from torch import nn

from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.models import ASPP, DeepLab, ResNet
from deeplab_lit.models.folding import folds
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph
from tests.models.test_folding import with_statistics
from tests.models.test_operations import Operations

PLAIN = Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


class Local(nn.Module):
    """Scores from each pixel's colour alone: what a window sees is what the whole image sees."""

    align_corners = True

    def scores(self, image):
        return torch.cat([4 * image, 1 - image[:, :1]], 1)


class Sided(nn.Module):
    """Scores that know left from right."""

    def scores(self, image):
        ramp = torch.linspace(0, 3, image.shape[-1]).expand(image.shape[0], 1, *image.shape[-2:])
        return torch.cat([ramp + image[:, :1], 1 - ramp], 1)


def predictor(network=None, **changes):
    return Predictor(network or Local(), PLAIN, **{"size": 65, "device": "cpu", "precision": "32-true", **changes})


def direct(image):
    x = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
    return Local().scores(x).softmax(1)[0].numpy()


def test_small_and_padded_images_have_their_own_size_and_values():
    for shape in ((10, 20), (65, 65), (80, 70)):
        image = photograph(*shape)
        np.testing.assert_allclose(predictor().probabilities(image), direct(image), atol=1e-6)


@pytest.mark.parametrize("shape", [(300, 90), (90, 300), (310, 290), (130, 129)])
@pytest.mark.parametrize("overlap", [0, 20, 90])
def test_windows_together_are_the_whole(shape, overlap):
    image = photograph(*shape)
    found = predictor(window=128, overlap=overlap).probabilities(image)
    np.testing.assert_allclose(found, direct(image), atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    labels = predictor(window=128, overlap=overlap).labels_in_windows(image)
    np.testing.assert_array_equal(labels, found.argmax(0))


def test_no_window_is_larger_than_asked_and_all_pixels_are_seen():
    seen = []

    class Spy(Local):
        def scores(self, image):
            seen.append(tuple(image.shape[-2:]))
            return super().scores(image)

    predictor(Spy(), window=128, overlap=30).probabilities(photograph(500, 333))
    assert len(seen) > 6 and max(max(size) for size in seen) <= 129  # a window is padded to 8n + 1


def test_refined_windows_get_their_own_pixels():
    image = photograph(200, 150)

    def refine(part, probabilities):
        assert part.shape[:2] == probabilities.shape[1:]
        np.testing.assert_allclose(probabilities, direct(part), atol=1e-5)
        return probabilities[::-1].copy()

    labels = predictor(window=128, overlap=30).labels_in_windows(image, refine)
    np.testing.assert_array_equal(labels, direct(image)[::-1].argmax(0))


def test_flip_is_the_mean_of_both_views():
    image = photograph(40, 50)
    one, both = predictor(Sided()).probabilities(image), predictor(Sided(), flip=True).probabilities(image)
    mirror = predictor(Sided()).probabilities(np.ascontiguousarray(image[:, ::-1]))[..., ::-1]
    np.testing.assert_allclose(both, (one + mirror) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 32}, "window=32"),
        ({"window": 128, "overlap": 128}, "overlap=128"),
        ({"precision": "8-bit"}, "precision='8-bit'"),
        ({"device": "cuda:7"}, "type device=auto"),
        ({"device": "gpux"}, "type device=auto"),
    ],
)
def test_bad_values(changes, words):
    if "cuda" in str(changes) and torch.cuda.device_count() > 7:
        pytest.skip("there is such a device")
    with pytest.raises(UserError, match=words):
        predictor(**changes)


@pytest.mark.parametrize("changes", [{}, {"flip": True}, {"window": 70, "overlap": 20}])
def test_labels_are_the_likeliest_classes(changes):
    torch.manual_seed(0)
    network = DeepLab(ResNet(18), ASPP(512, 5), False).eval()
    image = photograph(90, 110)
    p = predictor(network, **changes)
    found, probabilities = p.labels(image), p.probabilities(image)
    assert found.dtype == np.uint8 and found.shape == (90, 110)
    top = np.sort(probabilities, 0)[-2:]
    clear = top[1] - top[0] > 1e-5
    assert clear.mean() > 0.99 and np.array_equal(found[clear], probabilities.argmax(0)[clear])


def test_filters_are_folded_once_into_a_copy():
    network = DeepLab(with_statistics(ResNet(18)), ASPP(512, 5), False).eval()
    image, counts = photograph(60, 50), []
    before = [weight.clone() for weight in network.parameters()]
    p = predictor(network)
    expected = predictor(Unfolding(network)).probabilities(image)
    np.testing.assert_array_equal(p.probabilities(image), expected)
    assert all(map(torch.equal, before, network.parameters())) and folds(network) and not folds(p.network)
    for each in (p, predictor(Unfolding(network))):
        with Operations() as found:
            each.probabilities(image)
        counts.append(found.count)
    assert counts[0] == counts[1] - 7 * 20


class Unfolding(nn.Module):
    """Folds in each pass: the predictor does not see what is inside."""

    def __init__(self, network):
        super().__init__()
        self.inside = [network]

    def scores(self, image):
        return self.inside[0].scores(image)

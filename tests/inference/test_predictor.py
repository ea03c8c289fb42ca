"""Probabilities of images of any size."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.models import ASPP, VGG16, DeepLab, ResNet
from deeplab_lit.models.analysis import field_of_view
from deeplab_lit.models.folding import folds
from deeplab_lit.models.heads import FieldOfView
from deeplab_lit.models.network import at_scales
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


class Narrow(nn.Module):
    """A trunk of output stride 8 whose scores see 79 pixels, and lie at every eighth pixel."""

    channels, output_stride = 8, 8

    def __init__(self):
        super().__init__()
        strides = zip((3, 8, 8), (2, 2, 2), strict=True)
        layers = [each for wide, stride in strides for each in (nn.Conv2d(wide, 8, 3, stride, 1), nn.Tanh())]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8, 8, 3, padding=4, dilation=4))

    def forward(self, x):
        return self.layers(x)


def narrow(classes=6, align_corners=True):
    torch.manual_seed(0)
    head = FieldOfView(8, classes, kernel_size=1, rate=1)
    network = DeepLab(Narrow(), head, align_corners).eval()
    for parameter in network.parameters():
        parameter.data *= 4  # probabilities that differ
    return network


def far_from_windows(p, image, distance):
    """Where each window that covers a pixel ends at least so far from it, or at the border of the image."""

    def along(length):
        good = np.ones(length, bool)
        for start in p._places(length):
            end = min(length, start + p.window)
            good[start : start + distance] &= start == 0
            good[end - distance : end] &= end == length
        return good

    return along(image.shape[0])[:, None] & along(image.shape[1])[None]


@pytest.mark.parametrize(
    ("shape", "scales"),
    [
        ((300, 700), [1.0]),
        ((701, 330), [1.0]),
        ((1000, 257), [1.0]),
        # padded to multiples of 32 plus 1, as Cityscapes' 2048 x 1024: 3/4 of the sides are multiples of 8 plus 1 too
        ((288, 700), [0.5, 0.75, 1.0]),
        ((700, 512), [0.5, 0.75, 1.0]),
    ],
)
def test_windows_are_the_whole_image_where_the_field_of_view_allows(shape, scales):
    """Equal up to rounding there, and nine in ten labels of this random network overall."""
    network = at_scales(narrow(), scales)
    # between four scores a pixel sees 8 pixels more to each side, and twice that on the scale of 0.5
    radius = round((field_of_view(narrow()) // 2 + 9) / min(scales))
    image = photograph(*shape)
    whole = predictor(network, window=2001).probabilities(image)
    p = predictor(network, window=257, overlap=64)
    found, far = p.probabilities(image), far_from_windows(p, image, radius)
    assert 0.1 < far.mean() < 0.9
    np.testing.assert_allclose(found[:, far], whole[:, far], atol=2e-5)
    assert np.abs(found[:, ~far] - whole[:, ~far]).max() > 1e-3  # zeros around a window are seen there
    assert (found.argmax(0) == whole.argmax(0)).mean() > 0.9


def test_windows_of_half_pixel_centres_are_nearly_the_whole_image():
    """There a map of n + 1 scores is stretched over 8n + 1 pixels, by a little less in the whole than in a window."""
    image = photograph(300, 700)
    network = narrow(align_corners=False)
    labels = [predictor(network, window=window, overlap=64).labels(image) for window in (257, 2001)]
    assert (labels[0] == labels[1]).mean() > 0.9


@pytest.mark.parametrize(
    ("window", "overlap"), [(1025, 256), (257, 64), (193, 96), (65, 64), (100, 0), (97, 66), (64, 63)]
)
def test_windows_cover_each_side_and_overlap_enough(window, overlap):
    p = predictor(window=window, overlap=overlap)
    for length in (*range(window, window + 140), 1024, 2048, 5000):
        starts = p._places(length)
        ends = [min(length, start + window) for start in starts]
        assert starts[0] == 0 and ends[-1] == length
        assert all(
            end - start >= overlap and before < start
            for before, start, end in zip(starts, starts[1:], ends, strict=False)
        )
        if window - overlap >= 32:
            assert not any(start % 32 for start in starts)


def test_windows_by_default_show_each_pixel_of_cityscapes_what_largefov_sees():
    field = field_of_view(DeepLab(VGG16(), FieldOfView(512, 19, kernel_size=3, rate=12)))
    p = predictor(window=1025, overlap=256)
    assert field == 419 and p._places(2048) == [0, 512, 1024] and p._places(1024) == [0]
    inside = np.zeros(2048, int)  # pixels to where the window ends that ends farthest away
    for start in p._places(2048):
        x = np.arange(start, min(2048, start + 1025))
        left, right = (x - start if start else 2048), (start + 1024 - x if start < 1024 else 2048)
        inside[x] = np.maximum(inside[x], np.minimum(left, right))
    assert inside.min() == 256 > field / 2


def most_memory(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_labels_is_that_of_a_row_of_windows():
    """An image that is four times as high takes no more but for the labels themselves."""
    p = predictor(window=128, overlap=32)
    images = [photograph(height, 130) for height in (1000, 4000)]
    few, many = (most_memory(lambda image=image: p.labels(image)) for image in images)
    assert many - few < 1.5 * 3000 * 130
    assert most_memory(lambda: p.probabilities(images[1])) - few > 4 * 4 * 3000 * 130  # of four classes


@pytest.mark.parametrize(("height", "whole"), [(200, True), (400, False)])
def test_a_crf_takes_whole_images_up_to_a_bound(monkeypatch, height, whole):
    monkeypatch.setattr("deeplab_lit.inference.predictor._WHOLE", 300 * 150)
    image, seen = photograph(height, 150), []

    def refine(part, probabilities):
        seen.append(part.shape[:2])
        return probabilities[::-1].copy()

    p = predictor(window=128, overlap=30)
    assert p.refined_whole(image) == whole
    np.testing.assert_array_equal(p.labels_of_each([image], refine)[0], direct(image)[::-1].argmax(0))
    assert seen == [(200, 150)] if whole else len(seen) > 4 and max(seen) <= (128, 128)


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

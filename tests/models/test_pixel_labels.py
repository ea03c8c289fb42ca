"""Labels in one compiled pass, against PyTorch's upsampling and argmax."""

import pytest
import torch

from deeplab_lit.kernels.label_maps import count_pairs
from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, ResNet
from deeplab_lit.models.pixel_labels import pixel_labels, upsampled_argmax
from deeplab_lit.models.resize import resize


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("classes", "old", "new"),
    [
        (21, (41, 41), (321, 321)),
        (2, (1, 5), (7, 33)),
        (16, (9, 4), (9, 30)),
        (150, (6, 7), (50, 41)),
        (21, (5, 5), (5, 5)),
    ],
)
def test_they_are_those_of_interpolate_and_argmax(classes, old, new, align_corners):
    torch.manual_seed(0)
    scores = torch.randn(2, classes, *old) * 3
    found = upsampled_argmax(scores, new, align_corners)
    assert found.dtype is torch.uint8
    whole = resize(scores, new, align_corners)
    expected = whole.argmax(1)
    top = whole.topk(2, 1).values
    clear = (top[:, 0] - top[:, 1]) > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(found[clear].long(), expected[clear])
    # and where it is not clear, the class is one of those on top
    chosen = whole.gather(1, found.long()[:, None])[:, 0]
    assert (top[:, 0] - chosen).max() < 2e-5


def test_the_first_of_equal_classes_counts():
    assert upsampled_argmax(torch.zeros(1, 21, 3, 3), (9, 9), True).unique().tolist() == [0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_are_pytorchs_matter(value):
    scores = torch.randn(1, 3, 4, 4)
    scores[0, 1, 2, 2] = value
    assert torch.equal(upsampled_argmax(scores, (13, 13), True), resize(scores, (13, 13), True).argmax(1))


@pytest.mark.parametrize("scales", [None, (0.5, 0.75, 1.0)])
def test_of_a_network(scales):
    torch.manual_seed(0)
    network = DeepLab(ResNet(18), ASPP(512, 5), False).eval()
    network = network if scales is None else MultiScaleInput(network, scales)
    image = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        scores = network.scores(image)
        found = pixel_labels(network, image)
    top = scores.topk(2, 1).values
    clear = (top[:, 0] - top[:, 1]) > 1e-5
    assert torch.equal(found[clear].long(), scores.argmax(1)[clear]) and clear.float().mean() > 0.99


def test_pairs_are_counted_and_strangers_told():
    import numpy as np

    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 7, 5000).astype(np.uint8), rng.integers(0, 7, 5000).astype(np.uint8)
    truth[::5] = 255
    counts = np.zeros((7, 7), np.int64)
    assert count_pairs(guess, truth, 255, counts) == 0
    for t in range(7):
        for p in range(7):
            assert counts[t, p] == np.sum((truth == t) & (guess == p))
    assert count_pairs(np.array([9], np.uint8), np.array([1], np.uint8), 255, counts) == 1

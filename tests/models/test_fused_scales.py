import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deeplab_lit.crf import DenseCRF
from deeplab_lit.data.normalization import IMAGENET
from deeplab_lit.data.split import Example
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.inference.scoring import score_split
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.fused_scales import FusedScales
from deeplab_lit.models.heads import ASPP
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.models.network import fused_at
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import SMALL, photograph

FUSIONS = ["max_scores", "mean_scores", "max_probabilities", "mean_probabilities"]
SCALES = [0.5, 1.0, 1.5]


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.channels, self.output_stride = 8, 4

    def forward(self, image):
        return self.layers(image)


def net(align_corners=True):
    torch.manual_seed(0)
    network = DeepLab(Trunk(), ASPP(8, 4, rates=(1, 2), init_std=0.5), align_corners)
    return network.eval()


def slow(network, image, scales, fusion, mirrored=False, most=None):
    """Fused probabilities, one view after the other."""
    height, width = image.shape[-2:]
    found, sizes = [], set()
    for scale in scales:
        factor = scale if most is None else min(scale, (most - 1) / (max(height, width) - 1))
        size = tuple(int((side - 1) * factor + 1e-6) + 1 for side in (height, width))
        if size in sizes:
            continue
        sizes.add(size)
        views = []
        for turned in (False, True) if mirrored else (False,):
            x = F.interpolate(image, size, mode="bilinear", align_corners=network.align_corners)
            scores = network(x.flip(-1) if turned else x)
            scores = F.interpolate(scores, (height, width), mode="bilinear", align_corners=network.align_corners)
            scores = scores.flip(-1) if turned else scores
            views.append(scores.softmax(1) if "probabilities" in fusion else scores)
        found.append(sum(views) / len(views))
    fused = torch.stack(found).amax(0) if "max" in fusion else sum(found) / len(found)
    return fused / fused.sum(1, keepdim=True) if "probabilities" in fusion else fused.softmax(1)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("align_corners", [True, False])
def test_probabilities_are_those_of_the_views_one_by_one(fusion, mirrored, align_corners):
    network, image = net(align_corners), torch.randn(2, 3, 41, 57)
    with torch.no_grad():
        expected = slow(network, image, SCALES, fusion, mirrored)
        found = FusedScales(network, SCALES, fusion, mirrored).scores(image).softmax(1)
        other = slow(network, image, SCALES, next(each for each in FUSIONS if each != fusion), mirrored)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert (found - other).abs().max() > 1e-3


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("shape", [(41, 57), (40, 56)])
def test_half_of_the_size_alone_is_the_mean_of_squares(align_corners, shape):
    """What a network of images at half size was trained on."""
    network, image = net(align_corners), torch.randn(2, 3, *shape)
    height, width = (-(-side // 2) for side in shape)
    small = torch.zeros(2, 3, height, width)
    for y in range(height):
        for x in range(width):
            small[..., y, x] = image[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((2, 3))
    with torch.no_grad():
        expected = F.interpolate(network(small), shape, mode="bilinear", align_corners=align_corners)
        found = FusedScales(network, [0.5]).scores(image)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_sum_over_the_mirror_sharpens_scores(fusion):
    """Code bases that add both views: labels are those of the mean, probabilities those of doubled scores."""
    network, image = net(), torch.randn(1, 3, 41, 57)
    with torch.no_grad():
        mean = slow(network, image, SCALES, fusion, True)
        found = fused_at(network, SCALES, fusion, "sum").scores(image).softmax(1)
    expected = mean if "probabilities" in fusion else mean**2 / (mean**2).sum(1, keepdim=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("most", [29, 57, 70])
def test_no_scaled_image_is_longer_than_the_bound(monkeypatch, most):
    network, image, seen = net(), torch.randn(1, 3, 41, 57), []
    monkeypatch.setattr(network.trunk, "forward", lambda x: seen.append(x.shape[-2:]) or network.trunk.layers(x))
    with torch.no_grad():
        found = FusedScales(network, SCALES, "mean_scores", max_side=most).scores(image).softmax(1)
        sizes = list(seen)
        expected = slow(network, image, SCALES, "mean_scores", most=most)
    assert max(max(size) for size in sizes) == most
    assert len(sizes) == len(set(sizes)) == {29: 1, 57: 2, 70: 3}[most]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_maximum_of_scores_in_training_is_taken_on_the_map_and_everything_else_on_the_image():
    network = net()
    assert isinstance(fused_at(network, [1.0]), DeepLab)
    trained = fused_at(network, [0.5, 1.0])
    assert isinstance(trained, MultiScaleInput)
    for arguments in (([1.0, 1.5],), ([0.5],), ([1.0], "mean_scores"), ([1.0], "max_scores", True),
                      ([1.0], "max_scores", False, 33)):  # fmt: skip
        assert isinstance(fused_at(trained, *arguments), FusedScales)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0], "max"), "fusion='max' is not known: choose one of max_scores, mean_scores"),
        (([0.0, 1.0], "mean_scores"), r"scales=\[0.0, 1.0\]: give different factors above 0"),
        (([1.5, 1.5],), r"scales=\[1.5, 1.5\]: give different"),
        (([1.0], "max_scores", "twice"), "flip_scales='twice': choose true, sum or false"),
        (([1.0], "max_scores", False, 0), "max_side=0: it is a number of pixels, at least 1"),
    ],
)
def test_what_cannot_be_is_told(arguments, words):
    with pytest.raises(UserError, match=words):
        fused_at(net(), *arguments)
    with pytest.raises(
        UserError, match=r"scales=\[1.0\], fusion=mean_scores cannot be changed on a network that is an"
    ):
        fused_at(nn.Identity(), [1.0], "mean_scores")


@pytest.mark.parametrize("fusion", ["mean_probabilities", "max_probabilities", "mean_scores"])
def test_the_crf_refines_the_fused_probabilities(fusion):
    network, picture = net(), photograph(41, 57)
    predictor = Predictor(fused_at(network, SCALES, fusion, True), IMAGENET, 41, device="cpu", precision="32-true")
    with torch.no_grad():
        padded = IMAGENET(picture, (41, 57))[None]
        expected = slow(network, padded, SCALES, fusion, True)[0].numpy()
    np.testing.assert_allclose(predictor.probabilities(picture), expected, atol=1e-4)
    np.testing.assert_array_equal(predictor.labels(picture), predictor.probabilities(picture).argmax(0))

    class One:
        ids = ("one",)

        def __getitem__(self, index):
            return Example(picture, (picture[..., 0] // 64).astype(np.uint8), "one")

    crf = DenseCRF(**SMALL, threads=1)
    found = score_split(predictor, One(), [0], 4, crf, 5, 1, 1, lambda *_: None)
    truth = One()[0].mask
    for matrix, labels in zip(found.matrices, (expected.argmax(0), crf.labels(picture, expected)), strict=True):
        by_hand = np.zeros((4, 4), np.int64)
        np.add.at(by_hand, (truth.ravel(), labels.ravel()), 1)
        assert np.abs(matrix - by_hand).sum() <= 4  # two pixels between classes

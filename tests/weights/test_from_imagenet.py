"""VGG-16's fc6 and fc7 as convolutions."""

import pytest
import torch
import torchvision

from deeplab_lit.models import ASPP, VGG16, DeepLab, FieldOfView, MultiScaleFeatures
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.from_imagenet import convert_fc, start_from_imagenet


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    net = torchvision.models.vgg16(weights=None).eval()
    for layer in (net.classifier[0], net.classifier[3]):
        torch.nn.init.uniform_(layer.bias)  # torchvision draws none
    return net


def test_7x7_and_4096_equal_torchvisions_classifier_slid_over_the_image(vgg):
    """At the trunk's native stride the network is the classifier at every position."""
    network = DeepLab(
        VGG16(output_stride=32, pool_size=2, ceil_mode=False), FieldOfView(512, 3, 7, 1, hidden=4096)
    ).eval()
    report = start_from_imagenet(network, vgg.state_dict(), "vgg16")
    image = torch.randn(1, 3, 320, 288)
    with torch.no_grad():
        found = network.head.hidden(network.trunk(image))
        assert found.shape == (1, 4096, 10, 9)
        # positions whose 7x7 window lies inside the map; the image patch behind one is its 224 pixels
        features = vgg.features(image)
        for row, column in ((3, 3), (4, 5), (6, 4)):
            window = features[:, :, row - 3 : row + 4, column - 3 : column + 4]
            expected = vgg.classifier[:5](window.flatten(1))
            torch.testing.assert_close(found[:, :, row, column], expected, atol=1e-4, rtol=1e-4)
    assert set(report.new) == {"head.classifier.weight", "head.classifier.bias"}
    assert set(report.left) == {"classifier.6.weight", "classifier.6.bias"}


def test_at_stride_8_the_holes_skip_to_the_same_taps(vgg):
    """fc6 at rate 4 on the dense map reads what fc6 reads on the coarse one."""
    fc = convert_fc(vgg.state_dict(), 7, 4096)
    head = FieldOfView(512, 3, 7, 4, hidden=4096).eval()
    head.hidden.fc6.weight.data, head.hidden.fc6.bias.data = fc.fc6_weight, fc.fc6_bias
    dense = torch.randn(1, 512, 40, 40)
    with torch.no_grad():
        expected = vgg.classifier[0](dense[:, :, 1:28:4, 2:29:4].flatten(1))
        found = head.hidden.fc6(dense)[:, :, 1 + 12, 2 + 12]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kernel", "taps"), [(3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, list(range(7))), (1, [3])])
@pytest.mark.parametrize("surgery", ["decimation", "subset"])
def test_the_taps_and_filters_that_survive_are_unchanged(vgg, kernel, taps, surgery):
    state = vgg.state_dict()
    fc = convert_fc(state, kernel, 1024, surgery, seed=3)
    fc6, fc7 = state["classifier.0.weight"].view(4096, 512, 7, 7), state["classifier.3.weight"]
    assert fc.fc6_weight.shape == (1024, 512, kernel, kernel) and fc.fc7_weight.shape == (1024, 1024, 1, 1)
    # which filters they are, told by their biases, which are all different
    first = [int((state["classifier.0.bias"] == bias).nonzero()) for bias in fc.fc6_bias]
    second = [int((state["classifier.3.bias"] == bias).nonzero()) for bias in fc.fc7_bias]
    assert first == sorted(set(first)) and second == sorted(set(second)) and len(first) == len(second) == 1024
    if surgery == "decimation":
        assert first == list(range(0, 4096, 4))
    for number in (0, 511, 1023):
        for i, row in enumerate(taps):
            for j, column in enumerate(taps):
                assert torch.equal(fc.fc6_weight[number, :, i, j], fc6[first[number], :, row, column])
        assert torch.equal(fc.fc7_weight[number, :, 0, 0], fc7[second[number]][first])


def test_the_random_subset_follows_its_seed(vgg):
    state = vgg.state_dict()
    a, b, c = (convert_fc(state, 3, 1024, "subset", seed) for seed in (0, 0, 1))
    assert torch.equal(a.fc6_bias, b.fc6_bias) and not torch.equal(a.fc6_bias, c.fc6_bias)


def test_averages_stand_for_their_groups(vgg):
    state = vgg.state_dict()
    fc = convert_fc(state, 3, 1024, "average")
    torch.testing.assert_close(fc.fc6_bias, state["classifier.0.bias"].view(1024, 4).mean(1))
    # a tap is the mean of the three by three taps around it, of four filters
    fc6 = state["classifier.0.weight"].view(1024, 4, 512, 7, 7)
    torch.testing.assert_close(fc.fc6_weight[5, :, 0, 2], fc6[5, :, :, 0:3, 4:7].mean((0, 2, 3)))
    torch.testing.assert_close(fc.fc6_weight[9, :, 1, 1], fc6[9, :, :, 2:5, 2:5].mean((0, 2, 3)))
    # channels that stand for four carry the weights of all four: where the four agree, the answer is the same
    shared = torch.randn(1024)
    expected = state["classifier.3.weight"] @ shared.repeat_interleave(4)
    torch.testing.assert_close(fc.fc7_weight[..., 0, 0] @ shared, expected.view(1024, 4).mean(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("surgery", ["decimation", "subset", "average"])
def test_all_surgeries_leave_7x7_and_4096_alone(vgg, surgery):
    state = vgg.state_dict()
    fc = convert_fc(state, 7, 4096, surgery)
    assert torch.equal(fc.fc6_weight.flatten(1), state["classifier.0.weight"])
    assert torch.equal(fc.fc7_weight.flatten(1), state["classifier.3.weight"])


def test_every_head_of_vgg_is_filled(vgg):
    trunk = VGG16()
    aspp = DeepLab(trunk, ASPP(512, 3, hidden=1024))
    report = start_from_imagenet(aspp, vgg.state_dict(), "vgg16")
    assert {name.rsplit(".", 2)[-2] for name in report.new} == {"classifier"}
    biases = [branch.hidden.fc6.bias for branch in aspp.head.branches]
    assert not torch.equal(biases[0], biases[1])  # each branch keeps filters of its own
    msc = DeepLab(trunk, MultiScaleFeatures(512, 3, trunk.tap_channels, [8, 8, 4, 2, 1]))
    report = start_from_imagenet(msc, vgg.state_dict(), "vgg16")
    assert {".".join(name.split(".")[:2]) for name in report.new} == {"head.main", "head.taps"}
    assert "head.main.hidden.fc6.weight" in report.taken
    with pytest.raises(UserError, match="5000 cannot be cut out|the width divides 4096"):
        convert_fc(vgg.state_dict(), 3, 1000)
    with pytest.raises(UserError, match="init.fc='sum' is not known"):
        convert_fc(vgg.state_dict(), 3, 1024, "sum")

"""Trained filters of RGB images in networks of other images: equal scores at first, and all channels learn."""

import pytest
import torch
from tests.models.test_input_channels import TRUNKS, spec

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import describe
from deeplab_lit.weights.from_checkpoint import start_from_checkpoint
from deeplab_lit.weights.from_imagenet import start_from_imagenet
from deeplab_lit.weights.initialize import _of_trunk

LABELS = LabelSet(("a", "b", "c"))
ALL = [("resnet", "taps"), ("vgg", "fov"), ("lite0", "fov"), ("timm", "fov"), ("repvgg", "fov")]


def started(trunk, head, channels):
    """A network of RGB images in evaluation mode, and one of other images that starts from it."""
    torch.manual_seed(1)
    rgb = build_network(spec(trunk, head), 3).eval()
    network = build_network(spec(trunk, head, channels=channels), 3).eval()
    state = {f"network.{name}": value for name, value in rgb.state_dict().items()}
    content = {"deeplab_lit": describe(spec(trunk, head), LABELS, Normalization()), "state_dict": state}
    report = start_from_checkpoint(network, content, LABELS, "rgb.ckpt")
    assert not report.new and not report.left
    return rgb, network


@pytest.mark.parametrize(("trunk", "head"), ALL)
def test_further_channels_change_nothing_at_first(trunk, head):
    rgb, network = started(trunk, head, 5)
    image, further = torch.randn(1, 3, 33, 33), 100 * torch.randn(1, 2, 33, 33)
    with torch.no_grad():
        expected, found = rgb(image), network(torch.cat([image, further], 1))
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("trunk", "head", "channels"), [(*each, 1 + number % 2) for number, each in enumerate(ALL)])
def test_a_grey_image_has_the_scores_of_its_repetition(trunk, head, channels):
    rgb, network = started(trunk, head, channels)
    grey = torch.randn(1, 1, 33, 33)
    with torch.no_grad():
        expected, found = rgb(grey.expand(-1, 3, -1, -1)), network(grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_further_channels_learn():
    _, network = started("resnet", "fov", 4)
    network.train()
    weight = network.trunk.conv1.weight
    assert not weight[:, 3].any()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    image = torch.randn(2, 4, 65, 65)
    network(image).square().sum().backward()
    assert weight.grad[:, 3].abs().max() > 0
    optimizer.step()
    assert weight[:, 3].abs().max() > 0


def test_imagenets_weights_are_widened_by_the_same_rule():
    import torchvision

    network = build_network(spec("resnet", channels=4), 3)
    state = torchvision.models.resnet18(weights=None).state_dict()
    start_from_imagenet(network, state, "resnet18")
    torch.testing.assert_close(network.trunk.conv1.weight[:, :3], state["conv1.weight"], rtol=0, atol=0)
    assert not network.trunk.conv1.weight[:, 3].any()
    grey = build_network(spec("timm", channels=1), 3)
    trained = build_network(spec("timm"), 3).trunk.state_dict()
    _of_trunk(grey, trained, "timm", [])
    name = f"{TRUNKS['timm'][1][0]}.weight"
    torch.testing.assert_close(grey.trunk.state_dict()[name], trained[name].sum(1, keepdim=True))


def test_weights_of_other_channels_are_refused():
    network = build_network(spec("resnet"), 3)
    state = build_network(spec("resnet", channels=4), 3).state_dict()
    content = {"deeplab_lit": describe(spec("resnet", channels=4), LABELS, Normalization()), "state_dict": state}
    with pytest.raises(UserError, match="trunk.conv1.weight is \\(64, 4, 7, 7\\), this one's \\(64, 3, 7, 7\\)"):
        start_from_checkpoint(network, content, LABELS, "four.ckpt")

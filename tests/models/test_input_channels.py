"""Networks of images with any number of channels: every trunk, every part of a network."""

import pytest
import torch
from torch import nn

from deeplab_lit.models.analysis import field_of_view, flops
from deeplab_lit.models.dry_run import check_parts
from deeplab_lit.models.folding import folded_for_good, folds
from deeplab_lit.models.fused_scales import FusedScales
from deeplab_lit.models.input_channels import image_convolutions, input_channels, widen_input
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError

OWN = "deeplab_lit.models."
TRUNKS = {
    "resnet": ({"_target_": f"{OWN}backbones.ResNet", "depth": 18, "frozen_norm": True}, ["conv1"]),
    "vgg": ({"_target_": f"{OWN}backbones.VGG16"}, ["features.0"]),
    "lite0": ({"_target_": f"{OWN}efficientnet_lite0.EfficientNetLite0", "blocks": 5, "output_stride": 8}, ["stem.0"]),
    "timm": ({"_target_": f"{OWN}timm_trunk.TimmTrunk", "name": "test_resnet"}, ["network.conv1.0"]),
    # two convolutions of its stem read the image
    "repvgg": (
        {"_target_": f"{OWN}timm_trunk.TimmTrunk", "name": "repvgg_a0", "output_stride": 32},
        ["network.stem.conv_1x1.conv", "network.stem.conv_kxk.conv"],
    ),
}
HEADS = {
    "fov": {"_target_": f"{OWN}heads.FieldOfView", "hidden": None, "rate": 2},
    "taps": {"_target_": f"{OWN}heads.MultiScaleFeatures", "hidden": 8, "tap_hidden": 4, "rate": 2},
}


def spec(trunk, head="fov", scales=(1.0,), **more):
    parts = {"backbone": TRUNKS[trunk][0], "model": HEADS[head]}
    return {**parts, "scales": list(scales), "align_corners": True, "atrous": "auto", **more}


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_takes_images_of_any_channels(trunk, channels):
    network = build_network(spec(trunk, channels=channels), 3)
    assert input_channels(network) == input_channels(network.trunk) == channels
    assert image_convolutions(network.trunk, channels) == TRUNKS[trunk][1]
    check_parts(network, 3)
    filters = [network.trunk.get_submodule(name).weight for name in TRUNKS[trunk][1]]
    assert all(each.shape[1] == channels and each.std() > 0 for each in filters)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_network_of_rgb_images_stays_as_it_is(trunk):
    """The same random numbers are drawn, and the same modules are there, with the number of channels and without."""
    torch.manual_seed(0)
    without = build_network(spec(trunk), 3)
    torch.manual_seed(0)
    told = build_network(spec(trunk, channels=3), 3)
    assert str(told) == str(without) and input_channels(told) == 3
    for name, value in without.state_dict().items():
        torch.testing.assert_close(told.state_dict()[name], value, rtol=0, atol=0)


def test_random_filters_have_the_spread_of_those_of_the_trunk():
    rgb, many = (build_network(spec("resnet", channels=channels), 3).trunk.conv1.weight for channels in (3, 8))
    assert abs(many.std() / rgb.std() - 1) < 0.05 and abs(many.mean()) < 0.1 * many.std()


def test_all_parts_of_a_network_take_the_channels():
    network = build_network(spec("resnet", "taps", (0.75, 1.0), channels=5), 3)
    assert network.network.head.taps[0][0].weight.shape[1] == 5
    assert network(torch.zeros(1, 5, 65, 65)).shape[1] == 3 and input_channels(network) == 5
    # the first convolution and the tap on the image are wider than with RGB, nothing else
    rgb = build_network(spec("resnet", "taps", (0.75, 1.0)), 3)
    assert flops(network, 65)["total"] > flops(rgb, 65)["total"]
    assert field_of_view(network, 65) == field_of_view(rgb, 65)
    fused = FusedScales(network.network, (1.0, 1.25), "mean_probabilities")
    assert input_channels(fused) == 5


def test_normalisation_is_folded_as_with_rgb_images():
    network = build_network(spec("resnet", channels=4), 3).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    assert folds(network) and not folds(folded_for_good(network))
    image = torch.randn(1, 4, 65, 65)
    torch.testing.assert_close(folded_for_good(network)(image), network(image), rtol=1e-4, atol=1e-4)


class Patches(nn.Module):
    """A trunk that cuts the image into patches, without a convolution."""

    channels, output_stride = 192, 8

    def forward(self, image):
        return nn.functional.pixel_unshuffle(image, 8)


def test_a_trunk_without_such_a_convolution_is_refused():
    with pytest.raises(UserError, match="data.channels=4: no convolution of backbone Patches reads the image itself"):
        widen_input(Patches(), 4)

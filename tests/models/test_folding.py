"""Batch normalisation inside the filters before it: outputs and gradients are those of the two layers."""

import copy

import pytest
import torch
from torch import nn

from deeplab_lit.models import DeepLab, FieldOfView, ResNet, dilate, set_realisation
from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0
from deeplab_lit.models.folding import FoldableBatchNorm2d, fold_norms, set_folding
from deeplab_lit.models.norm import FrozenBatchNorm2d, freeze_norm
from deeplab_lit.models.timm_trunk import TimmTrunk


def with_statistics(network):
    """Values as after training: a fold that forgets one of them shows."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.3)
    return network


def folded(network):
    return sum(isinstance(layer, FoldableBatchNorm2d) for layer in network.modules())


def norms(network):
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


TRUNKS = {
    "resnet18": lambda: ResNet(18),
    "resnet50": lambda: ResNet(50, frozen_norm=True),
    "efficientnet_lite0": lambda: EfficientNetLite0(16),
    **{
        name: lambda name=name: TimmTrunk(name, 16, frozen_norm=True)
        for name in ("regnety_002", "mobilenetv3_small_100", "efficientnet_b0", "vgg11_bn", "convnext_atto")
    },
}


@pytest.mark.parametrize("name", TRUNKS)
def test_every_normalisation_behind_a_convolution_is_folded_and_the_output_stays(name):
    trunk = with_statistics(TRUNKS[name]()).eval()
    before, keys, x = copy.deepcopy(trunk), list(trunk.state_dict()), torch.randn(1, 3, 65, 97)
    fold_norms(trunk)
    assert folded(trunk) == norms(trunk)
    assert list(trunk.state_dict()) == keys
    with torch.no_grad():
        a, b = trunk(x), before(x)
    torch.testing.assert_close(a, b, atol=float(b.abs().max()) * 1e-5, rtol=1e-4)


def test_a_normalisation_before_its_convolution_is_left():
    trunk = with_statistics(TimmTrunk("densenet121", 16)).eval()
    before, x = copy.deepcopy(trunk), torch.randn(1, 3, 64, 64)
    fold_norms(trunk)
    assert folded(trunk) == 59  # the stem's, and the second of each of 58 layers
    with torch.no_grad():
        torch.testing.assert_close(trunk(x), before(x), atol=1e-4, rtol=1e-4)


class Separable(nn.Module):
    """Dense and depthwise layers, a bias, strides, holes."""

    channels, output_stride = 8, 2

    def __init__(self, affine):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)),
            *(nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False), nn.BatchNorm2d(8, eps=1e-2), nn.ReLU6(inplace=True)),
            *(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8, affine=affine)),
        )
        freeze_norm(with_statistics(self), affine=False)
        dilate(self, 2)

    def forward(self, image):
        return self.layers(image)


@pytest.mark.parametrize("realisation", ["auto", "holes", "interlace"])
@pytest.mark.parametrize("affine", [True, False])
def test_gradients_with_fixed_statistics_are_those_of_both_layers(realisation, affine):
    network = DeepLab(Separable(affine), FieldOfView(8, 3, rate=2), align_corners=False).double().train()
    set_realisation(network, realisation)
    assert folded(network) == 3
    x = torch.randn(2, 3, 21, 17, dtype=torch.float64)
    found = []
    for folding in (True, False):
        set_folding(network, folding)
        network.zero_grad()
        (network.supervised(x)[0].double() ** 2).mean().backward()
        found.append({name: each.grad for name, each in network.named_parameters()})
    for name, gradient in found[1].items():
        torch.testing.assert_close(found[0][name], gradient, atol=float(gradient.abs().max()) * 1e-5, rtol=1e-5)


def test_statistics_that_are_trained_are_trained():
    trunk = fold_norms(ResNet(18))
    reference = ResNet(18)
    reference.load_state_dict(trunk.state_dict())
    x = torch.randn(2, 3, 65, 65)
    torch.testing.assert_close(trunk.train()(x), reference.train()(x))
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(trunk.state_dict()[name], value, msg=name)
    # and between the trainings they are fixed
    torch.testing.assert_close(trunk.eval()(x), reference.eval()(x), atol=1e-4, rtol=1e-4)


class TwoReaders(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)

    def forward(self, image):
        x = self.conv(image)
        return x + self.norm(x)


def test_a_map_that_something_else_reads_too_is_left_alone():
    assert folded(fold_norms(with_statistics(TwoReaders()))) == 0


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 2, 1), nn.BatchNorm2d(3)

    def forward(self, image):
        return self.norm(self.second(self.norm(self.first(image))))


def test_a_normalisation_of_two_convolutions_is_left_alone():
    assert folded(fold_norms(with_statistics(Reused()))) == 0


class NoTrunk(nn.Module):
    def forward(self, image):
        raise ValueError("no image of this size")


def test_a_network_that_cannot_be_passed_is_left_alone():
    assert folded(fold_norms(NoTrunk())) == 0


def test_a_copy_folds_its_own_normalisation_and_freezing_comes_at_any_time():
    trunk = with_statistics(fold_norms(ResNet(18)))
    other = copy.deepcopy(trunk)
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.zero_()
    x = torch.randn(1, 3, 65, 65)
    reference = with_statistics(ResNet(18)).eval()
    reference.load_state_dict(other.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(x), reference(x), atol=1e-4, rtol=1e-4)
        freeze_norm(other)
        assert all(
            isinstance(layer, FrozenBatchNorm2d) for layer in other.modules() if isinstance(layer, nn.BatchNorm2d)
        )
        torch.testing.assert_close(other.train()(x), reference(x), atol=1e-4, rtol=1e-4)

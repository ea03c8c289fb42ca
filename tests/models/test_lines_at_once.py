"""Scale and shift of all layers at once: the same bits as one layer after the other."""

import copy

import pytest
import torch

from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, ResNet
from deeplab_lit.models.folding import FoldableBatchNorm2d
from deeplab_lit.models.lines_at_once import LinesAtOnce
from tests.models.test_folding import Separable, with_statistics


def network():
    torch.manual_seed(0)
    trunk = with_statistics(ResNet(18, frozen_norm=True, frozen_affine=False))
    return DeepLab(trunk, ASPP(512, 5, rates=(1, 2), dropout=0.0), False).train()


def given(module):
    return [layer for layer in module.modules() if isinstance(layer, FoldableBatchNorm2d) and layer.given is not None]


@pytest.mark.parametrize("whole", [network, lambda: MultiScaleInput(network(), recompute=True)])
def test_maps_and_gradients_are_those_of_one_layer_after_the_other(whole, monkeypatch):
    image, found = torch.randn(1, 3, 65, 65), []
    for at_once in (True, False):
        if not at_once:
            monkeypatch.setattr(LinesAtOnce, "_norms", lambda self: [])
        made = whole()
        for _ in range(2):  # gradients of two batches are added
            maps = made.supervised(image)
            sum(each.square().mean() for each in maps).backward()
        found.append([*maps, *(weight.grad for weight in made.parameters())])
    assert len(found[0]) == len(found[1]) and all(map(torch.equal, *found))


def test_they_are_given_during_a_pass_alone():
    made, seen = network(), []
    made.trunk.layer4.register_forward_hook(lambda *_: seen.append(len(given(made))))
    image = torch.randn(1, 3, 33, 33)
    made(image)
    other = copy.deepcopy(made)
    other(image)
    for weight in (*other.trunk.bn1.parameters(), *made.trunk.bn1.parameters()):
        weight.requires_grad_(False)  # the others stay together
    made(image)
    assert seen == [20, 0, 19] and len(given(made)) == len(given(other)) == 0  # a hook of the copy counts in made
    made.trunk.layer4.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made(image)
    assert not given(made)


def test_a_changed_weight_counts():
    made, image = network(), torch.randn(1, 3, 33, 33)
    with torch.no_grad():
        before = made(image)
        made.trunk.bn1.weight.mul_(2)
        made.trunk.layer1[0].bn1.running_var.mul_(3)
        after = made(image)
        assert not torch.allclose(before, after)
        assert torch.equal(after, copy.deepcopy(made)(image))


def test_layers_that_cannot_join_are_left_out():
    trunk = Separable(affine=False)
    lines = LinesAtOnce(DeepLab(trunk, ASPP(8, 3, rates=(1, 2)), False))
    with lines.computed():  # one has a convolution with a bias, one has no scale
        assert [layer.eps for layer in given(trunk)] == [1e-2]

import copy

import pytest
import torch
from torch import nn

from deeplab_lit.models import ASPP, DeepLab, ResNet
from deeplab_lit.models.norm import FrozenBatchNorm2d, unchanged_running_statistics
from deeplab_lit.models.timm_trunk import TimmTrunk
from deeplab_lit.training.synchronised_norms import SynchronisedNorms


def test_frozen_norm_stays_frozen_through_validation_and_training():
    trunk = ResNet(18, frozen_norm=True)
    norms = [layer for layer in trunk.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 20 and all(isinstance(layer, FrozenBatchNorm2d) for layer in norms)
    before = {key: value.clone() for key, value in trunk.state_dict().items() if "bn" in key or "downsample.1" in key}
    optimizer = torch.optim.SGD([p for p in trunk.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    for mode in (True, False, True):  # what a validation pass does
        trunk.train(mode)
        assert not any(layer.training for layer in norms)
        trunk(torch.randn(2, 3, 33, 33)).square().mean().backward()
        optimizer.step()
    assert trunk.conv1.weight.grad is not None
    for key, value in before.items():
        assert torch.equal(trunk.state_dict()[key], value), key


def test_norm_learns_when_it_is_not_frozen():
    trunk = ResNet(18).train()
    mean = trunk.bn1.running_mean.clone()
    trunk(torch.randn(2, 3, 33, 33))
    assert not torch.equal(trunk.bn1.running_mean, mean)
    assert trunk.bn1.weight.requires_grad


def test_freezing_keeps_weights_and_keys():
    torch.manual_seed(0)
    free = ResNet(18)
    frozen = ResNet(18, frozen_norm=True)
    assert list(free.state_dict()) == list(frozen.state_dict())
    frozen.load_state_dict(free.state_dict())
    image = torch.randn(1, 3, 65, 65)
    torch.testing.assert_close(frozen(image), free.eval()(image))


def test_statistics_alone_can_be_held():
    trunk = ResNet(18, frozen_norm=True, frozen_affine=False).train()
    before = trunk.bn1.running_mean.clone()
    trunk(torch.randn(2, 3, 33, 33)).square().mean().backward()
    assert torch.equal(trunk.bn1.running_mean, before) and trunk.bn1.weight.grad is not None
    assert all(layer.weight.requires_grad for layer in trunk.modules() if isinstance(layer, FrozenBatchNorm2d))


def trained_statistics(network):
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
    return network


def test_synchronising_leaves_frozen_normalisation_alone():
    """Lightning's own conversion made new modules, beside which convolutions went on folding the old ones."""
    network = trained_statistics(DeepLab(ResNet(18, frozen_norm=True), ASPP(512, 3, rates=[1, 2]))).train()
    image = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        before = network(image)
        assert SynchronisedNorms().apply(network) is network
        network.train()
        torch.testing.assert_close(network(image), before)
    assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in network.modules())


@pytest.mark.parametrize("trunk", [lambda: ResNet(18), lambda: TimmTrunk("regnety_002", 16)])
def test_synchronised_normalisation_is_the_module_that_was_there(trunk):
    network = trained_statistics(DeepLab(trunk(), ASPP(trunk().channels, 3, rates=[1, 2])))
    reference = copy.deepcopy(network)
    names, keys = [name for name, _ in network.named_modules()], list(network.state_dict())
    SynchronisedNorms().apply(network)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms and all(isinstance(layer, nn.SyncBatchNorm) for layer in norms)
    image = torch.randn(2, 3, 64, 64)
    for mode in (True, False):  # in one process both are plain batch normalisation, with timm's activation
        torch.testing.assert_close(network.train(mode)(image), reference.train(mode)(image), atol=1e-5, rtol=1e-4)
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, msg=name)
    assert ([name for name, _ in network.named_modules()], list(network.state_dict())) == (names, keys)
    SynchronisedNorms().revert(network)
    assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in network.modules())
    torch.testing.assert_close(network(image), reference(image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("convert", [SynchronisedNorms().apply, nn.SyncBatchNorm.convert_sync_batchnorm])
def test_synchronised_statistics_are_held_too(convert):
    network = convert(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).train()
    before = copy.deepcopy(network.state_dict())
    with unchanged_running_statistics(network):
        network(torch.randn(2, 3, 5, 5))
    for name, value in before.items():
        assert torch.equal(network.state_dict()[name], value), name
    network(torch.randn(2, 3, 5, 5))
    assert network[1].num_batches_tracked == 1 and network[1].momentum == 0.1

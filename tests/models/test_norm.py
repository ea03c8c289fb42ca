import torch
from torch import nn

from deeplab_lit.models.backbones import ResNet
from deeplab_lit.models.norm import FrozenBatchNorm2d


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

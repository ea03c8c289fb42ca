import weakref

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from deeplab_lit.models.backbones import ResNet
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.heads import ASPP, FieldOfView
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.training.losses import segmentation_loss


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return DeepLab(ResNet(18), FieldOfView(512, 4, kernel_size=1, rate=1)).eval()


def test_fused_map_is_the_maximum_over_scales(net):
    image = torch.randn(1, 3, 321, 321)
    msc = MultiScaleInput(net)
    with torch.no_grad():
        fused, full, three_quarters, half = msc.supervised(image)
        maps = []
        for side in (321, 241, 161):
            small = F.interpolate(image, (side, side), mode="bilinear", align_corners=True)
            maps.append(F.interpolate(net(small), (41, 41), mode="bilinear", align_corners=True))
        torch.testing.assert_close(fused, torch.maximum(torch.maximum(*maps[:2]), maps[2]))
        torch.testing.assert_close(fused, msc(image))
    assert [each.shape[-1] for each in (fused, full, three_quarters, half)] == [41, 41, 41, 21]


def test_four_losses_as_the_released_nets_take_them(net):
    image, mask = torch.randn(2, 3, 161, 161), torch.randint(0, 4, (2, 161, 161))
    mask[:, :9] = 255
    with torch.no_grad():
        maps = MultiScaleInput(net).supervised(image)
        by_hand = [F.cross_entropy(m, mask[:, ::8, ::8], ignore_index=255) for m in maps[:3]]
        by_hand.append(F.cross_entropy(maps[3], mask[:, ::16, ::16], ignore_index=255))
        torch.testing.assert_close(segmentation_loss(maps, mask), sum(by_hand))


def test_scales_share_their_weights(net):
    assert sum(p.numel() for p in MultiScaleInput(net).parameters()) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("scales", [(0.5, 0.75), (1.0, 1.5), (1.0, 0.0), (1.0, 1.0)])
def test_impossible_scales_are_refused(net, scales):
    with pytest.raises(ValueError, match=r"scales=.*\[0.5,0.75,1.0\]"):
        MultiScaleInput(net, scales)


def test_a_head_without_rates_is_refused():
    with pytest.raises(ValueError, match=r"rates=\[6,12,18,24\]"):
        ASPP(8, 3, rates=[])


def test_each_map_may_meet_the_labels_at_its_own_size(net):
    maps = MultiScaleInput(net, msc_loss="own_map").supervised(torch.randn(1, 3, 321, 321))
    assert [each.shape[-1] for each in maps] == [41, 41, 31, 21]


def trained_once(recompute):
    torch.manual_seed(0)
    network = DeepLab(ResNet(18), FieldOfView(512, 4, rate=2, hidden=32)).train()  # with batch statistics and dropout
    image, mask = torch.randn(2, 3, 97, 97), torch.randint(0, 4, (2, 97, 97))
    segmentation_loss(MultiScaleInput(network, recompute=recompute).supervised(image), mask).backward()
    return network


def test_recomputing_gives_the_same_gradients_and_statistics():
    kept, again = trained_once(False), trained_once(True)
    for name, parameter in kept.named_parameters():
        torch.testing.assert_close(again.get_parameter(name).grad, parameter.grad, msg=name)
    for name, value in kept.named_buffers():
        torch.testing.assert_close(again.get_buffer(name), value, msg=name)
    assert kept.trunk.bn1.num_batches_tracked == 3
    assert again.trunk.bn1.momentum == kept.trunk.bn1.momentum > 0


class Memory(TorchDispatchMode):
    """Counts the bytes of all tensors that live, and the most there were."""

    def __init__(self):
        super().__init__()
        self.now, self.most, self.known = 0, 0, WeakIdKeyDictionary()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self.known:
                storage = tensor.untyped_storage()
                self.known[storage] = True
                weakref.finalize(storage, self.add, -storage.nbytes())
                self.add(storage.nbytes())
        return result

    def add(self, size):
        self.now += size
        self.most = max(self.most, self.now)


@pytest.mark.long
def test_recomputing_takes_the_memory_of_the_largest_scale():
    network = DeepLab(ResNet(18, frozen_norm=True), ASPP(512, 4)).train()
    image, mask = torch.randn(4, 3, 225, 225), torch.randint(0, 4, (4, 225, 225))

    def peak(kind):
        network.zero_grad()
        with Memory() as memory:
            segmentation_loss(kind.supervised(image), mask).backward()
        return memory.most

    single, kept = peak(network), peak(MultiScaleInput(network))
    again = peak(MultiScaleInput(network, recompute=True))
    assert again < 1.3 * single
    assert again < kept / 1.3

"""The number of operations that a step launches: folding adds few to those of the network without it.

The bounds are what was measured, so that an operation that returns to every layer shows.
"""

import copy
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, ResNet
from deeplab_lit.models.folding import folded_once, keep_folded, set_folding
from deeplab_lit.training.losses import segmentation_loss
from tests.models.test_folding import with_statistics


class Operations(TorchDispatchMode):
    """Counts the operations that compute: neither views of a tensor nor empty ones."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not (function.is_view or function.__name__.split(".")[0] in ("detach", "empty", "empty_like"))
        return function(*args, **(kwargs or {}))


def network(affine, folding=True):
    torch.manual_seed(0)
    trunk = with_statistics(ResNet(18, frozen_norm=True, frozen_affine=affine))
    made = DeepLab(trunk, ASPP(512, 5, rates=(1, 2), dropout=0.0), False).train()
    set_folding(made, folding)
    return made


def step(whole, mask):
    whole.zero_grad()
    torch.manual_seed(1)
    segmentation_loss(whole.supervised(torch.randn(1, 3, 65, 65)), mask, "map", False).backward()


def operations(whole):
    """The operations of a step after the first."""
    mask = torch.randint(0, 5, (1, 65, 65))
    step(whole, mask)
    with Operations() as found:
        step(whole, mask)
    return found.count


NORMS = 20


@pytest.mark.parametrize(("affine", "more"), [(True, 0), (False, 3)])
def test_a_step(affine, more):
    assert operations(network(affine)) <= operations(network(affine, folding=False)) + more * NORMS


@pytest.mark.parametrize(("affine", "more"), [(True, -4), (False, -3)])
def test_scales_share_their_filters(affine, more):
    plain = operations(MultiScaleInput(network(affine, folding=False)))
    assert operations(MultiScaleInput(network(affine))) <= plain + more * NORMS


def test_passes_that_keep_their_filters():
    whole, image = network(False).eval(), torch.randn(1, 3, 65, 65)
    counts = []
    for folding in (True, False):
        set_folding(whole, folding)
        with torch.inference_mode(), folded_once(whole):
            whole(image)
            with Operations() as found:
                whole(image)
        counts.append(found.count)
    assert counts[0] == counts[1] - NORMS


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("recompute", [True, False])
def test_scales_that_share_their_filters_have_the_same_maps_and_gradients(affine, recompute):
    image, found = torch.randn(1, 3, 65, 65), []
    for each in (network(affine), network(affine)):
        whole = MultiScaleInput(each, recompute=recompute)
        if not found:
            whole._maps = whole._maps_of_scales  # the filters are folded for each scale
        maps = whole.supervised(image)
        sum(each.square().mean() for each in maps).backward()
        found.append((maps, [weight.grad for weight in each.parameters()]))
        assert not any(getattr(layer, "kept", None) for layer in each.modules())
    assert all(map(torch.equal, found[0][0], found[1][0]))
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a - b).abs().max() <= 1e-6 * a.abs().max()


def test_a_validation_between_two_steps():
    """Kept filters are those of the first pass, whatever changed before it, and no training step meets them."""
    whole, image = network(False), torch.randn(1, 3, 65, 65)
    keep_folded(whole, True)
    with torch.no_grad():
        for weight in whole.parameters():
            weight.data.mul_(1.01)  # as a moving average is swapped in, which PyTorch does not count
    whole.eval()
    with torch.inference_mode():
        first, expected = whole(image), copy.deepcopy(whole)(image)
        assert torch.equal(first, expected) and torch.equal(whole(image), expected)
        with folded_once(whole):  # several scales in a validation keep what is kept
            assert torch.equal(whole(image), expected)
        assert all(len(layer.kept) == 1 for layer in whole.modules() if getattr(layer, "norm", ()))
    keep_folded(whole, False)
    whole.train()
    step(whole, torch.zeros(1, 65, 65, dtype=torch.long))
    assert all(weight.grad is not None for weight in whole.parameters() if weight.requires_grad)


def test_copies_and_weights_hold_nothing_that_is_kept():
    whole, image = network(True), torch.randn(1, 3, 65, 65)
    keys = list(whole.state_dict())
    with folded_once(whole):
        whole(image)
        other = copy.deepcopy(whole)
        assert not any(getattr(layer, "kept", None) for layer in other.modules())
    assert list(whole.state_dict()) == keys
    with torch.no_grad():
        for layer in other.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.mul_(2)
        before = whole(image)
        assert not torch.allclose(other(image), before)
        other.load_state_dict(whole.state_dict())
        assert torch.equal(other(image), before)


@pytest.mark.parametrize("affine", [True, False])
def test_an_exported_graph_holds_nothing_that_is_kept(affine):
    whole, image = MultiScaleInput(network(affine)).eval(), torch.randn(1, 3, 65, 65)
    whole(image)
    program = torch.export.export(whole, (image,), strict=False)
    assert not any(isinstance(value, torch.Tensor) for value in program.constants.values())
    with torch.no_grad():
        torch.testing.assert_close(program.module()(image), whole(image), atol=1e-5, rtol=1e-5)


# in a process of its own, since the checks of shapes in tests break graphs
COMPILED = """
import torch
from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, ResNet

trunk = ResNet(18, frozen_norm=True, frozen_affine=AFFINE)
whole, image = MultiScaleInput(DeepLab(trunk, ASPP(512, 3, rates=(1,), dropout=0.0))).train(), torch.randn(1, 3, 65, 65)
whole.supervised(image)
compiled = torch.compile(whole.supervised, dynamic=False, fullgraph=True, backend="eager")
for _ in range(2):
    for a, b in zip(compiled(image), whole.supervised(image), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        trunk.bn1.running_var.mul_(2), trunk.bn1.weight.mul_(1.2)
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
"""


@pytest.mark.long
@pytest.mark.parametrize("affine", [True, False])
def test_a_compiled_pass_is_one_graph_whatever_was_kept_before(affine):
    code = COMPILED.replace("AFFINE", str(affine))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]

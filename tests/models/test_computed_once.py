"""Results that are kept until a source changes."""

import copy
import pickle

import pytest
import torch

from deeplab_lit.models.computed_once import ComputedOnce


class Doubled:
    def __init__(self, source):
        self.source, self.kept, self.calls = source, ComputedOnce(), 0

    def compute(self):
        self.calls += 1
        return (2 * self.source,)

    def __call__(self):
        return self.kept.of(self.compute, self.source, None)[0]


def to_other_memory(tensor):
    tensor.data = tensor.data + 1


CHANGES = {
    "in place": lambda tensor: tensor.add_(1),
    "by an optimiser": lambda tensor: torch._foreach_add_([tensor], 1),
    "from a checkpoint": lambda tensor: tensor.copy_(torch.ones(3)),
    "in another type": lambda tensor: torch.nn.Module.double(_holder(tensor)),
    "other memory": to_other_memory,
}


def _holder(tensor):
    holder = torch.nn.Module()
    holder.weight = tensor
    return holder


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_computed_again_after_a_change_alone(change):
    doubled = Doubled(torch.nn.Parameter(torch.zeros(3)))
    for _ in range(3):
        assert torch.equal(doubled(), torch.zeros(3))
    assert doubled.calls == 1
    with torch.no_grad():
        CHANGES[change](doubled.source)
    assert torch.equal(doubled(), 2 * doubled.source) and doubled().dtype is doubled.source.dtype
    assert doubled.calls == 2


def test_another_tensor_is_a_change():
    doubled = Doubled(torch.zeros(3))
    doubled()
    doubled.source = torch.ones(3)
    assert torch.equal(doubled(), torch.full((3,), 2.0))
    doubled.source = torch.ones(3, device="meta")
    assert doubled().device.type == "meta"


def test_what_inference_mode_computed_first_serves_a_training_step():
    doubled = Doubled(torch.zeros(3))
    with torch.inference_mode():
        assert not doubled().is_inference()
    weight = torch.ones(3, requires_grad=True)
    (doubled() * weight).sum().backward()
    assert doubled.calls == 1 and not doubled().requires_grad
    with torch.inference_mode():
        doubled.source = torch.zeros(3)
    doubled(), doubled()  # a source whose changes are not counted
    assert doubled.calls == 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_is_empty(copied):
    kept, source = ComputedOnce(), torch.ones(3)
    kept.of(lambda: (source,), source)
    other = copied(kept)
    assert type(other) is ComputedOnce and torch.equal(other.of(lambda: (2 * source,), source)[0], 2 * source)

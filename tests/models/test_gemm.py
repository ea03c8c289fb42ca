"""Convolutions to few classes as one matrix product, against PyTorch's convolutions in double precision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab_lit.models import ASPP, FieldOfView, set_realisation
from deeplab_lit.models.gemm import gemm_conv2d


def convolved(x, weights, rates):
    return sum(
        F.conv2d(x, weight, None, 1, [rate * (side // 2) for side in weight.shape[2:]], rate)
        for weight, rate in zip(weights, rates, strict=True)
    )


@given(
    kernels=st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 12)), min_size=1, max_size=4),
    height=st.integers(1, 15),
    width=st.integers(1, 15),
    channels_last=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_scores_and_gradients_are_those_of_the_convolutions(kernels, height, width, channels_last):
    torch.manual_seed(0)
    rates = [rate for _, rate in kernels]
    x = torch.randn(2, 6, height, width)
    x = (x.contiguous(memory_format=torch.channels_last) if channels_last else x).requires_grad_()
    weights = [torch.randn(3, 6, side, side).requires_grad_() for side, _ in kernels]
    found = gemm_conv2d(x, weights, rates)
    exact = [each.detach().double().requires_grad_() for each in (x, *weights)]
    expected = convolved(exact[0], exact[1:], rates)
    direction = torch.randn_like(found)
    ours = torch.autograd.grad(found, [x, *weights], direction)
    theirs = torch.autograd.grad(expected, exact, direction.double())
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-4, rtol=1e-4)


def test_in_half_precision_it_is_no_less_exact_than_the_convolutions():
    torch.manual_seed(0)
    x = torch.randn(2, 256, 17, 17).to(torch.bfloat16)
    weights, rates = [torch.randn(21, 256, 3, 3) for _ in range(4)], [2, 4, 6, 8]
    exact = convolved(x.double(), [weight.to(torch.bfloat16).double() for weight in weights], rates)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = gemm_conv2d(x, weights, rates), convolved(x, weights, rates)
    assert (ours.double() - exact).abs().mean() < (theirs.double() - exact).abs().mean()


@pytest.mark.parametrize(
    "head",
    [
        lambda: ASPP(32, 5, rates=(1, 2, 30)),
        lambda: FieldOfView(32, 5, rate=3),
        lambda: FieldOfView(32, 5, kernel_size=4, rate=2),
        lambda: ASPP(32, 40),
    ],
)
def test_heads_give_the_same_either_way(head, monkeypatch):
    torch.manual_seed(0)
    head = head()
    for name, parameter in head.named_parameters():
        torch.nn.init.normal_(parameter, std=1 if name.endswith("bias") else 0.1)
    x = torch.randn(2, 32, 13, 9)
    calls = []
    monkeypatch.setattr("deeplab_lit.models.heads.gemm_conv2d", lambda *inputs: calls.append(1) or gemm_conv2d(*inputs))
    auto = head(x)
    assert len(calls) == (head.num_classes == 5)  # with 40 classes the convolutions are faster
    set_realisation(head, "holes")
    torch.testing.assert_close(auto, head(x), atol=1e-4, rtol=1e-4)
    assert len(calls) == (head.num_classes == 5)

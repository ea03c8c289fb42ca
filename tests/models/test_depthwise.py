"""Depthwise convolution with a fast backward pass, against PyTorch's own in double precision."""

import os
import subprocess
import sys

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab_lit.models.atrous import AtrousConv2d


@given(
    kernel=st.sampled_from([1, 2, 3, 5, 7]),
    stride=st.integers(1, 3),
    rate=st.integers(1, 4),
    padding=st.integers(0, 9),
    height=st.integers(3, 21),
    width=st.integers(3, 21),
    channels_last=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_gradients_are_those_of_the_definition(kernel, stride, rate, padding, height, width, channels_last):
    if min(height, width) + 2 * padding <= rate * (kernel - 1):
        return
    torch.manual_seed(0)
    conv = AtrousConv2d(6, 6, kernel, stride, padding, rate, groups=6)
    x = torch.randn(2, 6, height, width)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    x.requires_grad_()
    y = conv(x)
    direction = torch.randn_like(y)
    found = torch.autograd.grad(y, [x, conv.weight, conv.bias], direction)
    exact = [each.detach().double().requires_grad_() for each in (x, conv.weight, conv.bias)]
    z = F.conv2d(*exact, stride, padding, rate, 6)
    expected = torch.autograd.grad(z, exact, direction.double())
    with torch.no_grad():
        for result in (y, conv(x)):
            torch.testing.assert_close(result.double(), z, atol=1e-4, rtol=1e-4)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-3, rtol=1e-4)


def test_under_autocast_gradients_have_the_precision_of_half():
    torch.manual_seed(0)
    conv = AtrousConv2d(32, 32, 5, padding=4, dilation=2, groups=32)
    x = torch.randn(2, 32, 21, 21, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype is torch.bfloat16
    found = torch.autograd.grad(y.float().square().sum(), [x, conv.weight])
    assert [each.dtype for each in found] == [torch.float32, torch.float32]
    y = F.conv2d(x, conv.weight, conv.bias, 1, 4, 2, 32)
    expected = torch.autograd.grad(y.square().sum(), [x, conv.weight])
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() < 0.02 * b.norm()


def test_without_numba_pytorchs_own_gradients_are_taken(monkeypatch):
    from deeplab_lit.models import depthwise

    monkeypatch.setattr(depthwise, "has_numba", lambda: False)
    conv = AtrousConv2d(4, 4, 5, padding=4, dilation=2, groups=4)
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    found = torch.autograd.grad(conv(x).square().sum(), [x, conv.weight])
    expected = torch.autograd.grad(F.conv2d(x, conv.weight, conv.bias, 1, 4, 2, 4).square().sum(), [x, conv.weight])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_compiled_kernels_leave_the_number_of_pytorch_threads_alone():
    code = """
import torch
from deeplab_lit.models.atrous import AtrousConv2d
torch.set_num_threads(1)
conv = AtrousConv2d(6, 6, 3, padding=2, dilation=2, groups=6)
conv(torch.randn(1, 6, 9, 9, requires_grad=True)).sum().backward()
import numba
print(torch.get_num_threads(), numba.get_num_threads())
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["1", "1"], done.stdout + done.stderr

"""What the machine is told to compute in."""

import pytest
import torch

from deeplab_lit.utils.hardware import resolve_precision, set_tf32


@pytest.fixture
def restored():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_tf32_is_for_gpus_and_can_be_forbidden(monkeypatch, restored):
    torch.set_float32_matmul_precision("highest")
    set_tf32(True)
    assert torch.cuda.is_available() or torch.get_float32_matmul_precision() == "highest"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    set_tf32(True)
    assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
    set_tf32(False)
    assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_gpus_get_bf16_where_it_is_in_hardware(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert resolve_precision("auto", "gpu") == expected
    assert resolve_precision("32-true", "gpu") == "32-true"


@pytest.mark.parametrize("supported", [True, False])
def test_processors_get_bf16_where_they_have_its_instructions(monkeypatch, supported):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported, raising=False)
    assert resolve_precision("auto", "cpu") == ("bf16-mixed" if supported else "32-true")


def test_apples_gpus_get_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert resolve_precision("auto", "mps") == "32-true"

"""The device of a process among several, on machines that are not at hand."""

import pytest
import torch

from deeplab_lit.utils.device import own_device


@pytest.fixture
def machine(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)

    def has(gpus=0, apple=False, **variables):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return has


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "cpu"),
        ({"apple": True}, "mps"),
        ({"gpus": 1, "apple": True}, "cuda"),
        ({"gpus": 8}, "cuda"),
        ({"gpus": 8, "LOCAL_RANK": "5"}, "cuda:5"),
        ({"gpus": 1, "LOCAL_RANK": "5"}, "cuda:0"),
        ({"gpus": 4, "SLURM_PROCID": "9", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "1"}, "cuda:1"),
        ({"LOCAL_RANK": "1"}, "cpu"),
    ],
)
def test_auto(machine, given, expected):
    machine(**given)
    assert own_device() == torch.device(expected)


def test_cuda_is_the_own_gpu_and_a_number_is_that_gpu(machine, monkeypatch):
    machine(gpus=4, LOCAL_RANK="2")
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)
    assert own_device("cuda") == torch.device("cuda:2")
    assert own_device("cuda:1") == torch.device("cuda:1") and own_device("cpu") == torch.device("cpu")

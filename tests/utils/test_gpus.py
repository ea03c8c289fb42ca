"""Trainings that each take one GPU, on stand-ins for GPUs."""

import subprocess
import sys
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch

from deeplab_lit.config.hydra_store import _gpus
from deeplab_lit.utils.gpus import free_gpu


@pytest.fixture
def two(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"card-{number}"))


def test_each_training_takes_a_gpu_of_its_own(two, caplog):
    with ExitStack() as trainings:
        assert [trainings.enter_context(free_gpu()) for _ in range(2)] == [0, 1]
        assert not caplog.text
        assert trainings.enter_context(free_gpu()) == 0  # none is left
        assert "other trainings have taken all 2 GPUs" in caplog.text
    with free_gpu() as number:
        assert number == 0


def test_a_gpu_is_known_by_its_identifier_and_freed_by_a_process_that_dies(two, monkeypatch, tmp_path):
    """Another process may see it under another number; locks of the system end with their process."""
    script = f"""
import tempfile; tempfile.tempdir = {str(tmp_path)!r}
from types import SimpleNamespace
import os, torch
torch.cuda.device_count = lambda: 1
torch.cuda.get_device_properties = lambda number: SimpleNamespace(uuid="card-1")
from deeplab_lit.utils.gpus import free_gpu
with free_gpu() as number:
    print(number, flush=True)
    input()
"""
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "0\n"
    with free_gpu() as first, free_gpu() as second:
        assert (first, second) == (0, 0)  # card-1 is taken by the other process
    other.kill()
    other.communicate()
    with free_gpu() as first, free_gpu() as second:
        assert (first, second) == (0, 1)


def test_as_many_jobs_at_once_as_gpus(monkeypatch):
    assert _gpus(2) == (torch.cuda.device_count() or 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert _gpus(2) == 8

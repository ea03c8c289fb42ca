"""Inputs of the commands that use a trained network."""

from deeplab_lit.inference import inputs
from deeplab_lit.inference.inputs import workers


def test_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(inputs, "cores", lambda: 12)
    for processes, expected in ((1, 12), (4, 3), (16, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert workers(None) == expected and workers(5) == 5

"""Inputs of the commands that use a trained network."""

import pytest

import deeplab_lit
from deeplab_lit.inference import inputs
from deeplab_lit.inference.inputs import run_name, workers
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import weights_file
from deeplab_lit.weights.read import read
from tests.inference.test_trained import save


def test_a_run_directory_means_its_best_checkpoint(tmp_path):
    run = tmp_path / "table" / "row_1.5"
    (run / "checkpoints").mkdir(parents=True)
    save(run / "checkpoints" / "best.ckpt", global_step=11)
    save(run / "checkpoints" / "last.ckpt", global_step=12)
    assert deeplab_lit.load(run).step == deeplab_lit.load(f"{run}/").step == read(run)["global_step"] == 11
    assert run_name(str(run)) == run_name(str(run / "checkpoints" / "best.ckpt")) == "table-row_1.5"
    (run / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"row_1.5' is a folder without checkpoints/best.ckpt .* type .*/last.ckpt\.$"):
        weights_file(run)
    with pytest.raises(UserError, match=r"is a folder without checkpoints/best.ckpt .*: give a run directory"):
        weights_file(tmp_path)


def test_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(inputs, "cores", lambda: 12)
    for processes, expected in ((1, 12), (4, 3), (16, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert workers(None) == expected and workers(5) == 5

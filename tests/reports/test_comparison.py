"""The comparison of a sweep's runs: what is looked at before the first one. tests/end_to_end has whole sweeps."""

from types import SimpleNamespace

import pytest

from deeplab_lit.reports import comparison
from deeplab_lit.utils.errors import UserError


class Launcher:
    def launch(self, job_overrides, initial_job_idx):
        raise RuntimeError("launched")


@pytest.mark.parametrize(
    ("launcher", "error", "words"),
    [("basic", UserError, "data.root='nowhere' is not a folder"), ("submitit_slurm", RuntimeError, "launched")],
)
def test_data_sets_are_looked_at_first_where_the_jobs_run(monkeypatch, tmp_path, launcher, error, words):
    """On a cluster the machine that submits may have other disks."""
    (tmp_path / "JPEGImages").mkdir()

    def compose(overrides):
        return SimpleNamespace(data={"_target_": "deeplab_lit.data.voc.VOC", "root": overrides[0]})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "compose", compose)
    monkeypatch.setattr(comparison, "choices", lambda: {"hydra/launcher": launcher})
    with pytest.raises(error, match=words):
        comparison._Recorder(Launcher()).launch([["nowhere"], ["."]], 0)

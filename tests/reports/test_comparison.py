"""The comparison of a sweep's runs: what is looked at before the first one. tests/end_to_end has whole sweeps."""

import os

import pytest

from tests.end_to_end.running import train

SWEEP = ["-m", "data=voc", "data.root=some,nowhere", "logger=csv"]


def test_data_sets_are_looked_at_before_the_first_training(tmp_path):
    (tmp_path / "some").mkdir()
    told = train(tmp_path, *SWEEP, expect=1).stderr
    assert told.startswith("error: some/ImageSets")


def test_data_sets_of_a_cluster_are_not_looked_at_where_jobs_are_submitted(tmp_path, monkeypatch):
    """The nodes may have other disks."""
    told = train(tmp_path, *SWEEP, "launcher=slurm", expect=1).stderr
    assert "error: launcher=slurm submits jobs to SLURM, and this machine has no command srun." in told
    for name in ("srun", "sbatch"):
        (tmp_path / name).write_text("#!/bin/sh\necho queue closed >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(Exception, match="queue closed"):
        train(tmp_path, *SWEEP, "launcher=slurm", expect=1)

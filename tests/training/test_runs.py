"""Run directories."""

import time

import pytest

from deeplab_lit.training.runs import fingerprint, new_run, read_config, run_to_resume
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of


def config(tmp_path, *overrides):
    return config_of("name=data-trunk-head", f"output={tmp_path}", "logger=csv", *overrides)


def test_new_runs_never_share_a_folder(tmp_path):
    folders = {new_run(config(tmp_path)).folder for _ in range(4)}
    assert len(folders) == 4 and all((folder / "config.yaml").is_file() for folder in folders)


def test_auto_takes_the_newest_run_of_the_same_config(tmp_path):
    runs = []
    for _ in range(2):
        runs.append(new_run(config(tmp_path)))
        runs[-1].checkpoints.mkdir()
        runs[-1].last.touch()
        time.sleep(0.02)
    new_run(config(tmp_path, "seed=1")).checkpoints.mkdir()
    unfinished = new_run(config(tmp_path))  # without a checkpoint: nothing to go on from
    found = run_to_resume(config(tmp_path, "resume=auto", "num_workers=7"))
    assert found.folder == runs[-1].folder and found.resume_from == runs[-1].last
    assert unfinished.folder != found.folder
    assert run_to_resume(config(tmp_path, "resume=auto", "max_steps=6")) is None
    assert run_to_resume(config(tmp_path)) is None


def test_a_given_run_or_checkpoint(tmp_path):
    run = new_run(config(tmp_path))
    with pytest.raises(UserError, match=r"has no checkpoints/last\.ckpt"):
        run_to_resume(config(tmp_path, f"resume={run.folder}"))
    run.checkpoints.mkdir()
    run.last.touch()
    run.best.touch()
    assert run_to_resume(config(tmp_path, f"resume={run.folder}")).resume_from == run.last
    given = run_to_resume(config(tmp_path, f"resume={run.best}"))
    assert given.folder == run.folder and given.resume_from == run.best
    with pytest.raises(UserError, match="nowhere.*does not exist"):
        run_to_resume(config(tmp_path, f"resume={tmp_path / 'nowhere'}"))


def test_a_run_is_found_by_its_config_as_it_lies_on_disk(tmp_path):
    """Numbers and texts go through YAML."""
    given = config(tmp_path, "optimizer.lr=1e-5", "model.rate_scale=0.30000000000000004", "crf=v2_resnet101")
    run = new_run(given)
    assert read_config(run) == given.as_dict() and fingerprint(read_config(run)) == fingerprint(given.as_dict())


def test_auto_says_why_it_starts_anew(tmp_path):
    first = new_run(config(tmp_path, "optimizer.lr=0.1"))
    first.checkpoints.mkdir()
    first.last.touch()
    anew = config(tmp_path, "optimizer.lr=0.2", "resume=auto")
    assert run_to_resume(anew) is None
    new = new_run(anew)
    assert new.resume_from is None and new.folder != first.folder
    assert (new.other, new.changes) == (first.folder, ("optimizer.lr: 0.1 -> 0.2",))


def test_auto_takes_runs_of_this_name_alone(tmp_path):
    other = new_run(config(tmp_path, "name=other"))
    other.checkpoints.mkdir()
    other.last.touch()
    assert run_to_resume(config(tmp_path, "resume=auto")) is None
    assert run_to_resume(config(tmp_path, "name=other", "resume=auto")).folder == other.folder
    # rows of tables share trainings with other rows
    row = ["experiments=table4_resnet101/baseline", "roots.coco=x", "roots.voc=x"]
    first = new_run(config(tmp_path, *row, "name=table/first"))
    first.checkpoints.mkdir()
    first.last.touch()
    assert run_to_resume(config(tmp_path, *row, "name=table/second", "resume=auto")).folder == first.folder

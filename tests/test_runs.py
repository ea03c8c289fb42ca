import csv
import time

import pytest

from deeplab_lit.errors import UserError
from deeplab_lit.files import replacing, write_json
from deeplab_lit.loggers import CsvLogger, wandb_is_configured
from deeplab_lit.runs import fingerprint, open_run


def config(tmp_path, **changes):
    return {
        "name": "data-trunk-head",
        "output": str(tmp_path),
        "resume": None,
        "seed": 0,
        "max_steps": 5,
        **changes,
    }


def test_new_runs_never_share_a_folder(tmp_path):
    folders = {open_run(config(tmp_path)).folder for _ in range(4)}
    assert len(folders) == 4 and all((folder / "config.yaml").is_file() for folder in folders)


def test_auto_takes_the_newest_run_of_the_same_config(tmp_path):
    runs = []
    for _ in range(2):
        runs.append(open_run(config(tmp_path)))
        runs[-1].checkpoints.mkdir()
        runs[-1].last.touch()
        time.sleep(0.02)
    open_run(config(tmp_path, seed=1)).checkpoints.mkdir()
    unfinished = open_run(config(tmp_path))  # without a checkpoint: nothing to go on from
    found = open_run(config(tmp_path, resume="auto", num_workers=7))
    assert found.folder == runs[-1].folder and found.resume_from == runs[-1].last
    assert unfinished.folder != found.folder
    fresh = open_run(config(tmp_path, resume="auto", max_steps=6))
    assert fresh.resume_from is None and fresh.folder != found.folder


def test_a_given_run_or_checkpoint(tmp_path):
    run = open_run(config(tmp_path))
    with pytest.raises(UserError, match=r"has no checkpoints/last\.ckpt"):
        open_run(config(tmp_path, resume=str(run.folder)))
    run.checkpoints.mkdir()
    run.last.touch()
    run.best.touch()
    assert open_run(config(tmp_path, resume=str(run.folder))).resume_from == run.last
    given = open_run(config(tmp_path, resume=str(run.best)))
    assert given.folder == run.folder and given.resume_from == run.best
    with pytest.raises(UserError, match="nowhere.*does not exist"):
        open_run(config(tmp_path, resume=str(tmp_path / "nowhere")))


def test_fingerprint_sees_what_is_computed_and_nothing_else(tmp_path):
    base = config(tmp_path)
    assert fingerprint(base) == fingerprint({**base, "output": "other", "logger": {"wandb": None}})
    assert fingerprint(base) != fingerprint({**base, "seed": 1})


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"miou": 1.0, "iou": [float("nan")]})
    before = path.read_text()
    assert '"miou": 1.0' in before and "null" in before
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == before and [file.name for file in tmp_path.iterdir()] == ["result.json"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_one_row_a_step_and_goes_on_after_a_resume(tmp_path):
    path = tmp_path / "metrics.csv"
    first = CsvLogger(path)
    for step in range(4):
        first.log_metrics({"train/loss": 1.0 / (step + 1), "epoch": 0}, step)
    first.log_metrics({"val/miou": 0.5}, 3)
    first.flush()
    second = CsvLogger(path)
    second.rewind(1)  # the last checkpoint was at step 1
    for step in (2, 3, 4):
        second.log_metrics({"train/loss": 9.0}, step)
    second.flush()
    found = rows(path)
    assert [row["step"] for row in found] == ["0", "1", "2", "3", "4"]
    assert [row["train/loss"] for row in found] == ["1", "0.5", "9", "9", "9"]
    assert all(row["val/miou"] == "" for row in found)


def test_wandb_asks_for_nothing_without_a_key(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not wandb_is_configured()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password 0123\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert wandb_is_configured()

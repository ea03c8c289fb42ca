"""Loggers that fail: at the start, at a step, at the end. The run goes on without them, after one sentence."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import wandb
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from deeplab_lit.training import loggers
from tests.end_to_end.running import command, needs_nobody, train, train_alone
from tests.end_to_end.test_train import TINIEST, rows, run_folder

FULL = OSError(errno.ENOSPC, "No space left on device")


def failing(*_, **__):
    raise FULL


@pytest.mark.parametrize(
    "broken",
    [
        (wandb, "init"),
        (WandbLogger, "log_metrics"),
        (WandbLogger, "log_image"),
        (WandbLogger, "finalize"),
        (loggers, "log_to_wandb"),
        (wandb, "finish"),
    ],
)
def test_a_run_ends_without_wandb(tmp_path, monkeypatch, broken):
    monkeypatch.setattr(*broken, failing)
    done = train(tmp_path, *TINIEST, "logger=default")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "W&B failed" in line]
    assert said == ["W&B failed ([Errno 28] No space left on device): the run goes on without it"]
    folder = run_folder(tmp_path)
    assert said[0] in (folder / "train.log").read_text()
    assert json.loads((folder / "result.json").read_text())["steps"] == 4
    assert [int(row["step"]) for row in rows(folder) if row["train/loss"]] == list(range(4))
    monkeypatch.undo()
    if broken != (wandb, "finish"):
        assert wandb.run is None  # otherwise it goes on catching what this process prints
    elif wandb.run is not None:
        wandb.run._restore()
    wandb.teardown()


@pytest.mark.parametrize("name", ["log_metrics", "save", "finalize"])
def test_a_run_ends_without_tensorboard(tmp_path, monkeypatch, name):
    monkeypatch.setattr(TensorBoardLogger, name, failing)
    done = train(tmp_path, *TINIEST, "logger=tensorboard")
    assert (done.stdout + done.stderr).count("TensorBoard failed ([Errno 28]") == 1
    assert (run_folder(tmp_path) / "result.json").is_file()


def test_the_result_is_written_before_any_logger_gets_it(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(loggers, "log_to_wandb", lambda *_: found.extend(tmp_path.glob("runs/*/*/result.json")))
    train(tmp_path, *TINIEST, "logger=default")
    assert len(found) == 1


@pytest.mark.parametrize(
    "mistake", ["+logger.wandb.projekt=mine", "logger.wandb.project=a/b", f"logger.wandb.tags=[{'x' * 65}]"]
)
def test_a_mistake_in_the_arguments_of_wandb_is_an_error_before_training(tmp_path, mistake):
    done = train(tmp_path, *TINIEST, "logger=default", mistake, expect=1)
    assert "error: logger.wandb does not accept" in done.stderr and "step" not in done.stdout
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.slow
def test_a_run_ends_when_the_process_of_wandb_is_killed(tmp_path):
    whole = command("train", *TINIEST, "logger=default", "max_steps=12")
    process = subprocess.Popen(whole, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("step 2/"):
            wanted = f"wandb-core.*--pid {process.pid}( |$)"
            children = subprocess.run(["pgrep", "-f", wanted], capture_output=True, text=True)
            os.kill(int(children.stdout), signal.SIGKILL)
            time.sleep(0.2)
    assert process.wait(timeout=100) == 0, "".join(lines)
    assert "".join(lines).count("W&B failed") == 1 and "Traceback" not in "".join(lines)
    assert (run_folder(tmp_path) / "result.json").is_file()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="a mount of Linux")
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can mount")
def test_a_full_disk_of_wandb_ends_no_run(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "none", full], capture_output=True).returncode:
        pytest.skip("mounts are forbidden here")
    try:
        done = train_alone(tmp_path, *TINIEST, "logger=default", env={"WANDB_DIR": str(full)})
    finally:
        subprocess.run(["umount", "-l", full], check=True)
    text = done.stdout + done.stderr
    assert text.count("W&B failed ([Errno 28] No space left on device") == 1
    assert "Traceback" not in text and "Logging error" not in text
    assert (run_folder(tmp_path) / "result.json").is_file()


@pytest.mark.slow
@needs_nobody
@pytest.mark.parametrize("home", ["/nonexistent", pytest.param(None, marks=pytest.mark.long)])
def test_wandb_needs_no_home(tmp_path, home):
    tmp_path.chmod(0o777)
    env = {"HOME": home, "WANDB_MODE": None, "WANDB_SILENT": None}
    done = train_alone(tmp_path, *TINIEST, "logger=default", nobody=True, env=env)
    text, folder = done.stdout + done.stderr, run_folder(tmp_path)
    assert (folder / "result.json").is_file() and "failed" not in text
    for words in ("wandb: ", "INFO", "ERROR", "Traceback"):
        assert words not in text, text
    (run,) = folder.glob("wandb/offline-run-*")
    assert f"wandb sync {run.relative_to(tmp_path)} sends it" in text
    assert list(run.glob("*.wandb")) and list((folder / "wandb" / "data").rglob("staging/*"))

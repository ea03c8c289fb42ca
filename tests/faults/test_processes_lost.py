"""Processes that the kernel takes away: of a training on several devices, and loaders."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from deeplab_lit.training.train import fit
from deeplab_lit.utils.errors import UserError
from tests.end_to_end.running import command, train_alone
from tests.end_to_end.test_processes import QUIET, SHARED, TWO
from tests.end_to_end.test_train import TINIEST, rows, run_folder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")]


def children(pid):
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(child)]
    return found


def environment(pid):
    return dict(entry.split("=", 1) for entry in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in entry)


def begin(folder, *arguments):
    process = subprocess.Popen(
        command("train", *arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **QUIET},
    )  # fmt: skip
    while not list(folder.glob("runs/*/*/checkpoints/last.ckpt")):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    return process


@pytest.mark.long
def test_of_two_processes_the_other_ends_and_the_pair_resumes(tmp_path):
    arguments = [*SHARED, *TWO, "max_steps=300", "val_every=4", "num_workers=0", "resume=auto"]
    process = begin(tmp_path, *arguments)
    (second,) = [pid for pid in children(process.pid) if environment(pid).get("LOCAL_RANK") == "1"]
    os.kill(second, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "another process of this training has ended" in err, out + err
    train_alone(tmp_path, *arguments, env=QUIET)
    assert [int(row["step"]) for row in rows(run_folder(tmp_path)) if row["train/loss"]] == list(range(300))


def test_a_loader_that_was_killed_ends_the_run_with_a_reason(tmp_path):
    """As the kernel does where memory is short."""
    arguments = [*TINIEST, "logger=csv", "max_steps=4000", "val_every=4", "num_workers=2", "pictures=0"]
    process = begin(tmp_path, *arguments)
    workers = [pid for pid in children(process.pid) if "tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(workers) >= 2
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "a loader process was killed" in err and "num_workers" in err and "Traceback" not in err, err


def test_the_other_loaders_that_were_killed_do_not_disturb_the_ending():
    """PyTorch's handler raises at any child's end, wherever the process is, as long as it knows a loader that died."""

    def handler(number, frame):
        raise RuntimeError("DataLoader worker (pid 2) is killed by signal: Killed.")

    before = signal.signal(signal.SIGCHLD, handler)
    try:
        trainer = SimpleNamespace(fit=lambda *_, **__: os.kill(os.getpid(), signal.SIGCHLD))
        with pytest.raises(UserError, match="a loader process was killed"):
            fit(SimpleNamespace(trainer=trainer, segmenter=None, data=None, run=SimpleNamespace(resume_from=None)))
        subprocess.run(["true"], check=True)
        os.kill(os.getpid(), signal.SIGCHLD)
    finally:
        signal.signal(signal.SIGCHLD, before)

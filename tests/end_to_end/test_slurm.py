"""Jobs of SLURM: its variables and its signals, with a stand-in for scontrol."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from deeplab_lit.config.compose import typed
from deeplab_lit.training.interrupts import requeued_outside_the_steps
from deeplab_lit.training.plan import settle
from deeplab_lit.training.trainer import trainer_arguments
from deeplab_lit.utils.errors import Interrupted, UserError
from deeplab_lit.utils.slurm import requeue, tasks_per_node
from tests.composing import compose
from tests.end_to_end.test_processes import QUIET, SHARED
from tests.end_to_end.test_train import run_folder


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A program of that name, which writes what it is told to a file; returns the file."""
    folder, told = tmp_path / "bin", tmp_path / "scontrol.txt"
    folder.mkdir()
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return told


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 1),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_TASKS_PER_NODE": "8"}, 4),
        ({"SLURM_TASKS_PER_NODE": "4"}, 4),  # srun -n4
        ({"SLURM_TASKS_PER_NODE": "2(x3)"}, 2),
        ({"SLURM_TASKS_PER_NODE": "8", "SLURM_STEP_TASKS_PER_NODE": "2,2"}, 2),
    ],
)
def test_the_tasks_of_a_node(monkeypatch, variables, expected):
    for name in ("SLURM_NTASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tasks_per_node() == expected


def test_nodes_with_different_numbers_of_tasks_are_refused(monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", "3(x2),1")
    with pytest.raises(UserError, match=r"SLURM started 3\(x2\),1 tasks on its nodes"):
        tasks_per_node()


def test_a_job_and_a_part_of_an_array_are_requeued(scontrol, monkeypatch):
    requeue()  # outside a job
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    requeue()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    requeue()
    assert scontrol.read_text().splitlines() == ["requeue 17", "requeue 16_2"]


def test_a_job_whose_time_ends_while_it_is_scored_is_requeued(scontrol, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    message = "SIGUSR1 outside the steps; go on with: train a=1 resume=auto"
    with pytest.raises(Interrupted, match=message), requeued_outside_the_steps("train a=1"):
        signal.raise_signal(signal.SIGUSR1)
    assert scontrol.read_text().splitlines() == ["requeue 17"] and signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def started(folder, job, *arguments):
    """Two tasks, as ``srun -n2`` starts them: without tasks per node."""
    (folder / "spy.py").write_text(SPY)
    path = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    slurm = {"SLURM_JOB_ID": str(job), "SLURM_JOB_NAME": "deeplab", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2",
             "SLURM_NNODES": "1",
             "SLURM_TASKS_PER_NODE": "2", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0",
             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, "-m", "spy", *" ".join(arguments).split()], cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **QUIET, **slurm, "PYTHONPATH": path, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
        )
        for rank in ("0", "1")
    ]  # fmt: skip


SPY = """
from pathlib import Path

from deeplab_lit.train import main
from deeplab_lit.training.segmenter import Segmenter

original = Segmenter.validation_step

def validation_step(self, batch, index):
    if index == 5:
        Path(f"validating{self.global_rank}").touch()
    return original(self, batch, index)

Segmenter.validation_step = validation_step
if __name__ == "__main__":
    main()
"""


def test_several_processes_that_would_train_alone_or_wait_for_ever_are_refused(monkeypatch):
    config = typed(compose("trainer.accelerator=cpu"))
    with monkeypatch.context() as torchrun:
        for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            torchrun.setenv(name, "2")
        torchrun.setenv("RANK", "0")
        torchrun.setenv("LOCAL_RANK", "0")
        torchrun.setenv("TORCHELASTIC_RUN_ID", "1")
        with pytest.raises(UserError, match="each of them would train alone: type trainer=ddp with torchrun"):
            settle(config, {"accelerator": "cpu", "devices": 1})
        with pytest.raises(UserError, match="trainer.devices=3, but torchrun started 2: leave it out"):
            trainer_arguments(typed(compose("trainer=ddp", "trainer.devices=3", "trainer.accelerator=cpu")))
        assert trainer_arguments(typed(compose("trainer=ddp", "trainer.accelerator=cpu")))["devices"] == 2
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(UserError, match="this SLURM job has 2 tasks, and srun did not start this process"):
        settle(config, {"accelerator": "cpu", "devices": 2, "strategy": "ddp"})


@pytest.mark.long
@pytest.mark.parametrize("receivers", [(0, 1), (1,)])
def test_a_job_whose_time_ends_saves_in_a_validation_is_requeued_and_goes_on(tmp_path, scontrol, receivers):
    """SLURM sends SIGUSR1 to all tasks, twice, or to one first; the requeued job has the same command and number."""
    arguments = [
        *SHARED, "trainer=slurm", "trainer.accelerator=cpu", "trainer.precision=32-true", "num_workers=1",
        "batch_size=null", "global_batch_size=4", "eval_batch_size=1", "data.val_images=400", "max_steps=3",
        "val_every=2",
    ]  # fmt: skip
    tasks = started(tmp_path, 4711, *arguments)
    deadline = time.monotonic() + 200
    while len(list(tmp_path.glob("validating*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    for _ in range(2):
        for receiver in receivers:
            tasks[receiver].send_signal(signal.SIGUSR1)
        time.sleep(0.3)
    asked = time.monotonic()
    texts = [task.communicate(timeout=60)[0] for task in tasks]
    assert time.monotonic() - asked < 30, texts
    assert tasks[0].returncode == 128 + signal.SIGUSR1 and "Traceback" not in texts[0] + texts[1], texts
    assert "stopped by SIGUSR1 at step 2" in texts[0] and scontrol.read_text().splitlines() == ["requeue 4711"]
    run = run_folder(tmp_path)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    again = [task.communicate(timeout=300)[0] for task in started(tmp_path, 4711, *arguments)]
    assert (run / "result.json").is_file() and "resumed from" in again[0], again[0]

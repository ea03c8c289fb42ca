"""Several processes, and signals to all of them, as a cluster sends them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.end_to_end.running import command, train_alone
from tests.end_to_end.test_train import TINIEST, rows, run_folder

TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]
# statistics of normalisation and dropout belong to a process; everything else is shared
SHARED = [
    *TINIEST,
    "backbone.frozen_norm=true",
    "optimizer=sgd",
    "optimizer.lr=1e-5",
    "scales=msc",
    "augment=crop_flip",
]
QUIET = {"OMP_NUM_THREADS": "1"}


@pytest.mark.long
@pytest.mark.parametrize(
    "loss", [[], ["loss=balanced", "loss.dense_energy=1e-7"], ["loss=ohem", "loss.threshold=0.05", "loss.min_kept=300"]]
)
def test_two_processes_train_and_measure_as_one(tmp_path, loss):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    train_alone(tmp_path / "one", *SHARED, *loss, "batch_size=4", env=QUIET)
    done = train_alone(tmp_path / "two", *SHARED, *loss, *TWO, "batch_size=2", env=QUIET)
    assert "4 steps of batch 4 = 2 x 2 processes" in done.stdout and done.stdout.count("mIoU 0.") == 3, done.stdout
    one, two = run_folder(tmp_path / "one"), run_folder(tmp_path / "two")
    a, b = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (one, two))
    assert a["global_step"] == b["global_step"] == 4
    start = {key: value.double() for key, value in a["state_dict"].items()}
    for key, value in start.items():
        torch.testing.assert_close(b["state_dict"][key].double(), value, atol=2e-6, rtol=1e-5, msg=key)
    # momentum holds the gradients themselves
    for key, state in a["optimizer_states"][0]["state"].items():
        mine, theirs = state["momentum_buffer"], b["optimizer_states"][0]["state"][key]["momentum_buffer"]
        assert (mine - theirs).abs().max() < 1e-3 * mine.abs().max() + 1e-7
    first, second = (json.loads((run / "result.json").read_text()) for run in (one, two))
    # five images for two processes: one counted twice would show
    for key in ("miou", "pixel_accuracy", "mean_accuracy"):
        assert first[key] == pytest.approx(second[key], abs=1e-5)
    for row, other in zip(rows(one), rows(two), strict=True):
        if row["train/loss"]:
            assert float(row["train/loss"]) == pytest.approx(float(other["train/loss"]), rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("processes", [[], TWO])
def test_sigterm_to_the_whole_group_saves_and_resumes(tmp_path, processes):
    arguments = [*SHARED, *processes, "max_steps=16", "val_every=4", "num_workers=2", "trainer.log_every_n_steps=1"]
    process = subprocess.Popen(
        command("train", *arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, **QUIET},
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # as SLURM does: loader processes get it too
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + signal.SIGTERM, text
    assert text.count("stopped by SIGTERM at step") == 1 and "Traceback" not in text, text
    (run,) = tmp_path.glob("runs/*/*")
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 4 <= step < 16 and not (run / "result.json").exists()
    done = train_alone(tmp_path, *arguments, "resume=auto", env=QUIET)
    assert json.loads((run / "result.json").read_text())["steps"] == 16, done.stdout
    assert [int(row["step"]) for row in rows(run) if row["train/loss"]] == list(range(16))


@pytest.mark.long
def test_more_processes_than_validation_images_are_refused(tmp_path):
    arguments = [each for each in SHARED if "val_images" not in each]
    done = train_alone(tmp_path, *arguments, *TWO, "data.val_images=1", expect=1, env=QUIET)
    assert "1 validation image(s) for 2 processes" in done.stderr


@pytest.mark.long
def test_synchronised_frozen_normalisation_trains_as_in_one_process(tmp_path):
    """As ``trainer=slurm`` asks of a single GPU; trained batch normalisation would be refused on a CPU."""
    ends = []
    for name, arguments in (
        ("plain", []),
        ("synchronised", [*TWO, "trainer.devices=1", "trainer.sync_batchnorm=true"]),
    ):
        (tmp_path / name).mkdir()
        train_alone(tmp_path / name, *SHARED, "scales.recompute=true", *arguments, env=QUIET)
        last = run_folder(tmp_path / name) / "checkpoints" / "last.ckpt"
        ends.append(torch.load(last, weights_only=True)["state_dict"])
    for key, value in ends[0].items():
        torch.testing.assert_close(ends[1][key], value, atol=1e-6, rtol=1e-5, msg=key)


LIKE_ONE = [*SHARED, "batch_size=null", "global_batch_size=4", "trainer.log_every_n_steps=1", "num_workers=2"]


def drawn(run):
    """The examples of each optimiser step, as the training's own loaders drew them (DEEPLAB_LIT_DRAWN is a folder)."""
    steps = {}
    for file in run.glob("rank*.csv"):
        for line in file.read_text().splitlines():
            step, id = line.split(",")
            steps.setdefault(int(step), []).append(id)
    return {step: sorted(ids) for step, ids in steps.items()}


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [([], TWO), (TWO, [])])
def test_a_run_that_goes_on_with_other_processes_shows_each_image_as_often(tmp_path, before, after):
    spy = tmp_path / "spy.py"
    spy.write_text(SPY)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    told = {**QUIET, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}

    def spied(folder, *arguments):
        line = [sys.executable, "-m", "spy", *" ".join([*LIKE_ONE, *arguments]).split()]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=400, env={**os.environ, **told})
        assert done.returncode == 0, done.stdout + done.stderr

    spied(tmp_path / "whole", "max_steps=6")
    spied(tmp_path / "parts", "max_steps=3", *before)
    run = run_folder(tmp_path / "parts")
    spied(tmp_path / "parts", "max_steps=6", *after, f"resume={run}")
    whole, parts = drawn(tmp_path / "whole"), drawn(tmp_path / "parts")
    assert sorted(whole) == list(range(6)) and all(len(ids) == 4 for ids in whole.values())
    assert parts == whole


SPY = """
import os
from deeplab_lit.train import main
from deeplab_lit.training.segmenter import Segmenter

original = Segmenter.training_step

def training_step(self, batch, index):
    with open(f"rank{self.global_rank}.csv", "a") as file:
        file.writelines(f"{self.trainer.global_step},{id}\\n" for id in batch["id"])
    return original(self, batch, index)

Segmenter.training_step = training_step
if __name__ == "__main__":
    main()
"""


@pytest.mark.long
@pytest.mark.parametrize("on_nan", ["skip", "stop"])
def test_two_processes_agree_on_a_loss_that_is_not_finite(tmp_path, on_nan):
    arguments = [*SHARED, *TWO, "batch_size=2", "optimizer.lr=1e25", f"on_nan={on_nan}", "num_workers=0"]
    done = train_alone(tmp_path, *arguments, expect=0 if on_nan == "skip" else 1, env=QUIET)
    run = run_folder(tmp_path)
    assert "Traceback" not in done.stderr, done.stderr
    if on_nan == "skip":
        assert "the loss of step 1 is not finite, left out: " in done.stdout, done.stdout
    else:
        assert "error: the loss of step 1 is not finite" in done.stderr
        assert len(json.loads((run / "not_finite.json").read_text())["ids"]) == 4  # of both processes


@pytest.mark.long
def test_no_loader_process_outlives_a_training_that_is_killed(tmp_path):
    """They are forked from a server, whose end PyTorch's loaders wait for, while the server waits for theirs."""
    process = subprocess.Popen(
        command("train", *SHARED, *TWO, "max_steps=4000", "val_every=2", "num_workers=1"), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **QUIET},
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)

    def group(*more):
        found = subprocess.run(["pgrep", "-g", str(process.pid), *more], capture_output=True, text=True)
        return found.stdout.split()

    assert len(group()) > 4
    trainers = subprocess.run(
        ["pgrep", "-g", str(process.pid), "-f", "deeplab_lit.train "], capture_output=True, text=True
    )
    for pid in trainers.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while group() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not group()


@pytest.mark.long
def test_processes_with_different_numbers_of_validation_batches_do_not_wait_for_each_other(tmp_path):
    """Half of eight batches and half of seven: one process looked for signals of the other after its fourth."""
    validated = ["eval_batch_size=1", "data.val_images=15", "+trainer.limit_val_batches=0.5"]
    train_alone(tmp_path, *SHARED, *TWO, *validated, env=QUIET, within=120)
    assert json.loads((run_folder(tmp_path) / "result.json").read_text())["steps"] == 4

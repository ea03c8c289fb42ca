"""SIGKILL at twenty moments of one training, which leaves it what it would have been."""

import random
import subprocess
import time

import pytest
import torch

from tests.end_to_end.running import command, train_alone
from tests.end_to_end.test_train import TINIEST, rows, run_folder

ARGUMENTS = [*TINIEST, "logger=default", "max_steps=160", "val_every=2", "num_workers=1", "pictures=1"]


@pytest.mark.long
def test_twenty_kills_leave_no_trace(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    train_alone(whole, *ARGUMENTS)
    moments = random.Random(0)
    seen = 0.0
    for _ in range(20):
        process = subprocess.Popen(
            command("train", *ARGUMENTS, "resume=auto"), cwd=killed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while newest(killed) <= seen and process.poll() is None:
            time.sleep(0.02)
        # checkpoints, pictures, curves and W&B's file are written all the time
        time.sleep(moments.uniform(0, 0.6))
        assert process.poll() is None, process.communicate()[1]
        process.kill()
        process.communicate()
        seen = newest(killed)
        for file in killed.glob("runs/*/*/checkpoints/*.ckpt"):
            assert file.name.startswith(".") or torch.load(file, weights_only=True)["global_step"] > 0
    assert len(rows(run_folder(killed))) < 160  # it was never at its end
    train_alone(killed, *ARGUMENTS, "resume=auto")
    assert rows(run_folder(killed)) == rows(run_folder(whole))
    for name in ("best", "last"):
        one, other = (torch.load(run_folder(each) / "checkpoints" / f"{name}.ckpt", weights_only=True)
                      for each in (whole, killed))  # fmt: skip
        assert one["global_step"] == other["global_step"]
        assert all(torch.equal(value, other["state_dict"][key]) for key, value in one["state_dict"].items())


def newest(folder):
    return max((file.stat().st_mtime for file in folder.glob("runs/*/*/checkpoints/last.ckpt")), default=0.0)

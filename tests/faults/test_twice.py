"""Two processes that want the same run."""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.end_to_end.running import command
from tests.end_to_end.test_train import TINIEST
from tests.sweeps.test_run_table import TINY

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def begin(folder, *arguments):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command("train", *arguments), cwd=folder, env=ENV, **pipes)


def wait_for(folder, pattern):
    for _ in range(1200):
        if found := list(folder.glob(pattern)):
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no {pattern}")


@pytest.mark.long
def test_a_run_that_is_going_on_is_not_gone_on_with_by_another(tmp_path):
    arguments = [*TINIEST, "logger=csv", "max_steps=2000", "val_every=3", "resume=auto", "num_workers=1"]
    first = begin(tmp_path, *arguments)
    last = wait_for(tmp_path, "runs/*/*/checkpoints/last.ckpt")
    second = begin(tmp_path, *arguments)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 1 and "another process is training in" in err and "resume=null" in err, out + err
    assert first.poll() is None
    # a process that was killed holds nothing
    first.kill()
    first.communicate()
    step = int((last.parent.parent / "metrics.csv").read_text().splitlines()[-1].split(",")[0])
    third = begin(tmp_path, *arguments)
    for _ in range(600):
        lines = (last.parent.parent / "metrics.csv").read_text().splitlines()
        if int(lines[-1].split(",")[0]) > step + 3:
            break
        assert third.poll() is None, third.communicate()
        time.sleep(0.1)
    third.send_signal(signal.SIGTERM)
    third.communicate(timeout=120)
    assert len(list((tmp_path / "runs").glob("*/*"))) == 1
    steps = [int(line.split(",")[0]) for line in lines[1:]]
    assert steps == list(range(len(steps)))  # no gap and no double


@pytest.mark.long
def test_a_sweep_that_is_started_twice_trains_each_row_once(tmp_path):
    both = [begin(tmp_path, "experiments=table3_aspp_vgg16", *TINY, "max_steps=8") for _ in range(2)]
    told = [process.communicate(timeout=400) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    ends = json.loads((tmp_path / "runs/table3_aspp_vgg16/sweep-mini.json").read_text())
    assert [each["state"] for each in ends] == ["done"] * 3
    for row in ("largefov", "aspp_s", "aspp_l"):
        (run,) = (tmp_path / "runs/table3_aspp_vgg16" / row).iterdir()
        steps = [int(line.split(",")[0]) for line in (run / "metrics.csv").read_text().splitlines()[1:]]
        assert steps == sorted(set(steps))
    said = "".join(err for _, err in told)
    assert "waiting for its end" in said and said.count("Traceback") == 0

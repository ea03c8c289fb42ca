"""What a training step makes the host wait for: reads from the device, copies to it, and other processes.

Counted on a CPU, where the same operations are dispatched: ``_local_scalar_dense`` is the read of a value, and a tensor
made from Python values would be copied to a GPU.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deeplab_lit.training.segmenter import Segmenter
from tests.training.test_interrupts import run

READS = ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::is_nonzero")
COPIES = ("aten::lift_fresh", "aten::scalar_tensor")  # torch.tensor(...) and the like


class Counts(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def steps(monkeypatch):
    """The names of the operations from the end of each step to the end of the next, hooks and update included."""
    found, counts = [], Counts()
    begin, end = Segmenter.on_train_batch_start, Segmenter.on_train_batch_end

    def started(self, *arguments):
        counts.names = []
        counts.__enter__()
        return begin(self, *arguments)

    def ended(self, *arguments):
        end(self, *arguments)
        counts.__exit__(None, None, None)
        found.append(counts.names)

    # the loss of a GPU: that of a CPU takes the result of its own kernels
    monkeypatch.setattr("deeplab_lit.training.losses.is_upsampled_loss_fast", lambda *_: False)
    monkeypatch.setattr(Segmenter, "on_train_batch_start", started)
    monkeypatch.setattr(Segmenter, "on_train_batch_end", ended)
    return found


@pytest.mark.parametrize("options", [["scales=msc"], ["optimizer=sgd", "on_nan=skip", "loss.resolution=map"]])
def test_a_step_that_logs_nothing_reads_nothing_and_copies_nothing(tmp_path, steps, options):
    """Before: 2 reads and a copy for NaN, 2 copies a map for labels, a copy a group of learning rates."""
    run(tmp_path, "trainer.log_every_n_steps=4", "max_steps=4", "val_every=4", *options)
    assert len(steps) == 4 and "aten::convolution_backward" in steps[1]
    for quiet in steps[1:3]:  # the first one fills caches, the last one is logged
        assert not [name for name in quiet if name in READS + COPIES]
    assert "aten::lift_fresh" in steps[3]  # what is counted is there to be counted


SCRIPT = """
import os
import sys
import torch.distributed
from deeplab_lit.training.segmenter import Segmenter
from tests.training.test_interrupts import run

calls = []
for name in ("all_reduce", "broadcast", "barrier", "all_gather_object", "all_gather", "broadcast_object_list"):
    def counted(*arguments, original=getattr(torch.distributed, name), name=name, **options):
        calls.append(name)
        return original(*arguments, **options)
    setattr(torch.distributed, name, counted)
whole = Segmenter.on_train_batch_start
def started(self, *arguments):
    calls.append("step")
    return whole(self, *arguments)
Segmenter.on_train_batch_start = started
if __name__ == "__main__":
    two = ["trainer=ddp", "trainer.devices=2", "trainer.log_every_n_steps=4"]
    run(sys.argv[1], *two, "max_steps=4", "val_every=4", "scales=msc")
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        print("CALLS", " ".join(calls))
"""


@pytest.mark.slow
def test_processes_exchange_one_reduction_a_step_beside_the_gradients(tmp_path):
    """Before: two barriers, a broadcast and four reductions in a step with multi-scale inputs.

    DDP exchanges gradients and buffers outside Python.
    """
    script = tmp_path / "count.py"
    script.write_text(SCRIPT)
    here = str(Path.cwd())
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "runs")], cwd=here, capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("CALLS"))
    of_steps = line.split(" step ")[1:]
    assert len(of_steps) == 4 and of_steps[1].split() == of_steps[2].split() == ["all_reduce"]
    assert torch.distributed.is_available()

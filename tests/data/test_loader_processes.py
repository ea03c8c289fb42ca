"""Loader processes and the signals that stop a training."""

import os
import signal
import subprocess
import threading
import time

import pytest
import torch

from deeplab_lit.data import loader_processes
from deeplab_lit.data.loader_processes import Loader


def _slow_start(worker):
    time.sleep(1)  # a busy machine
    loader_processes.survive_signals(worker)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_all_processes_does_not_end_a_loader_that_is_only_starting(name):
    signum, received = getattr(signal, name), []
    before = signal.signal(signum, lambda *_: received.append(1))
    try:
        loader = Loader(torch.arange(8), batch_size=2, num_workers=2, worker_init_fn=_slow_start)
        iterator = iter(loader)
        pids = [each.pid for each in iterator._workers]
        # another process sends it: a loader obeys a SIGTERM of the training itself
        kill = ["kill", f"-{int(signum)}", *(str(pid) for pid in [*pids, os.getpid()])]
        threading.Timer(0.2, subprocess.run, [kill]).start()
        assert torch.cat(list(iterator)).tolist() == list(range(8))
        assert received  # the training itself has got it
    finally:
        signal.signal(signum, before)

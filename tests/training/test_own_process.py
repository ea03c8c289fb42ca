"""A training in a process of its own, with a stand-in for the training."""

import os
import signal
import sys
import threading
import time

import pytest

from deeplab_lit.training import own_process
from deeplab_lit.training.own_process import takes_several_processes, train_in_own_process
from deeplab_lit.utils.errors import Interrupted, UserError
from tests.composing import config_of


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Takes the lines of a shell script that stands in for Python."""

    def make(text):
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{text}\n")
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))
        monkeypatch.setattr(own_process, "_PAUSE", 0.05)
        return tmp_path / "pid"

    return make


def is_running(pid):
    try:
        os.kill(int(pid.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_goes_on_to_the_training(program, signum):
    """SIGUSR1, which clusters send, ended the sweep alone; its training went on without it."""
    name = signum.name.removeprefix("SIG")
    program(f"trap 'echo stopped by {name} >&2; exit {128 + signum}' {name}; while :; do sleep 0.05; done")
    before = signal.getsignal(signum)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signum))
    timer.start()
    with pytest.raises(Interrupted, match=f"stopped by {name}") as caught:
        train_in_own_process(["max_steps=4"])
    timer.join()
    assert caught.value.signum == signum and signal.getsignal(signum) == before


def test_the_error_is_that_of_the_training(program, capfd):
    program("echo 'error: there are no data' >&2; exit 1")
    with pytest.raises(UserError, match="^there are no data$"):
        train_in_own_process(["max_steps=4"])
    assert "error: there are no data" in capfd.readouterr().err


def test_no_training_goes_on_after_an_error_of_its_caller(program):
    pid = program("while :; do sleep 0.05; done")

    def fails():
        time.sleep(0.5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_in_own_process(["max_steps=4"], fails)
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("overrides", "several"),
    [
        ([], False),
        (["trainer=ddp"], True),
        (["trainer=ddp", "trainer.devices=2"], True),
        (["trainer.devices='2'"], True),
        (["trainer.devices=auto"], True),
        (["trainer.devices=[1]"], False),
    ],
)
def test_which_trainings_take_several_processes(overrides, several):
    assert takes_several_processes(config_of(*overrides)) is several

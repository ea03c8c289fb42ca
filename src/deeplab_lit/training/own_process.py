"""A training in a process of its own: jobs of sweeps and trials of searches whose trainings take several processes.

Lightning starts the further processes of a training with the command line of the first one. In a sweep, that command
line is the whole sweep.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.step_batch import processes_told
from deeplab_lit.utils.errors import Interrupted, UserError
from deeplab_lit.utils.shards import own_shard

_PAUSE = 1.0  # seconds between two calls of ``meanwhile``


def launched_outside() -> bool:
    """Whether another program, such as torchrun or srun, started this process as one of several."""
    return own_shard().count > 1


def takes_several_processes(config: TrainConfig) -> bool:
    """Whether Lightning may start further processes for this training."""
    left_to_the_machine = config.trainer.get("devices") in ("auto", -1, "-1")
    return not launched_outside() and (processes_told(config.trainer) > 1 or left_to_the_machine)


def train_in_own_process(overrides: Sequence[str], meanwhile: Callable[[], bool] = lambda: False) -> None:
    """Run ``python -m deeplab_lit.train`` with these overrides, and wait for its end.

    Signals are passed on to it. Its output is that of this process.

    Args:
        overrides: of the training.
        meanwhile: called now and then; if it returns True, the training is stopped as by SIGTERM.

    Raises:
        UserError: the training failed; the text is its own message.
        Interrupted: a signal stopped it.
    """
    command = [sys.executable, "-m", "deeplab_lit.train", *_config_folders(), *overrides]
    training = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    told: list[str] = []
    echo = threading.Thread(target=_echo, args=(training, told))
    echo.start()
    with _passed_on(training):
        try:
            while training.poll() is None:
                if meanwhile():
                    training.terminate()
                    training.wait()
                time.sleep(_PAUSE)
        finally:
            training.terminate()
            training.wait()
    echo.join()
    message = next((line.removeprefix("error: ") for line in reversed(told) if line.startswith("error: ")), None)
    status = training.returncode
    if status > 128:
        raise Interrupted(status - 128, told[-1] if told else "stopped by a signal")
    if status:
        raise UserError(message or f"the training ended with status {status}; its output says why.")


def _config_folders() -> list[str]:
    """The option ``--config-dir`` and the key ``hydra.searchpath`` of this program."""
    if not HydraConfig.initialized():
        return []
    sources: Any = HydraConfig.get().runtime.config_sources
    given = [word for each in sources if each.provider == "command-line" for word in ("--config-dir", each.path)]
    return given + [each for each in HydraConfig.get().overrides.hydra if each.startswith("hydra.searchpath=")]


def _echo(training: subprocess.Popen[str], told: list[str]) -> None:
    assert training.stderr is not None
    for line in training.stderr:
        print(line, end="", file=sys.stderr, flush=True)
        told.append(line.strip())


@contextmanager
def _passed_on(training: subprocess.Popen[str]) -> Iterator[None]:
    """A context in which signals that stop a training go to it; Ctrl-C reaches it anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
    before = {
        getattr(signal, name): signal.signal(getattr(signal, name), lambda signum, _: training.send_signal(signum))
        for name in names
    }
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)

"""Loader processes of a training: how they are started, and which signals end them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any

import torch
from torch.utils.data import DataLoader

# Windows lacks the last two
_OF_TRAININGS = {getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)}


def loader_processes(number: int, world: int) -> dict[str, Any]:
    """Arguments of PyTorch's ``DataLoader`` for its processes.

    A process that has threads of a GPU or of several processes' communication must not be forked: the fork can hang
    while a thread holds a lock. There, loader processes are forked from a server process without threads.

    Args:
        number: of loader processes.
        world: the number of processes of the training.
    """
    if not number:
        return {}
    server = "forkserver" in multiprocessing.get_all_start_methods()
    if not server or (world == 1 and not torch.cuda.is_available()):
        return {"worker_init_fn": survive_signals}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deeplab_lit.data.loader_server"])
    return {"worker_init_fn": survive_signals, "multiprocessing_context": context}


class Loader(DataLoader[Any]):
    """A ``DataLoader`` whose processes start with the signals blocked that stop a training.

    Such a signal would otherwise end a process that has not come to :func:`survive_signals` yet. The training itself
    gets the signal once the processes are started.
    """

    def __iter__(self) -> Any:
        if not self.num_workers or not hasattr(signal, "pthread_sigmask"):
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_TRAININGS)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def survive_signals(worker: int) -> None:
    """Make a loader process ignore the signals that stop a training, and obey SIGTERM only if the training sends it.

    A signal that goes to all processes of a training would otherwise end the loaders before the training has saved. The
    process ends with the training, however that ends.
    """
    for each in _OF_TRAININGS - {signal.SIGTERM}:
        signal.signal(each, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # sigwaitinfo tells the sender; not every platform has it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_the_training, daemon=True).start()
    # PyTorch's own watch looks at the parent, which is the server that forked this process
    threading.Thread(target=_end_with_the_training, daemon=True).start()


def _end_with_the_training() -> None:
    training = multiprocessing.parent_process()
    assert training is not None
    training.join()
    os._exit(0)


def _obey_the_training() -> None:
    # the parent of a process that a server has forked is the server
    training = multiprocessing.parent_process()
    assert training is not None
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != training.pid:
        pass
    os._exit(0)

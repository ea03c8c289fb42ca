"""Work on many files at once: in processes, or in threads that run ahead of the caller."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.progress import Progress

Job = TypeVar("Job")
Result = TypeVar("Result")
_FEW = 8


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    work: Callable[[Job], Result], jobs: Sequence[Job], what: str, progress: Progress | None = None
) -> Iterator[Result]:
    """``work(job)`` for every job on all cores, results in order.

    Args:
        work: a function that other processes can import.
        jobs: its arguments.
        what: what is being done, for ``progress``.
        progress: told now and then how many jobs are done.
    """
    if not jobs:
        return
    if progress:
        progress(what, 0, len(jobs))
    if len(jobs) <= _FEW:  # starting processes would take longer
        for done, job in enumerate(jobs, 1):
            result = work(job)
            if progress:
                progress(what, done, len(jobs))
            yield result
        return
    chunk = max(1, min(64, len(jobs) // (4 * cores())))
    # a fresh interpreter for each worker: forking a process that holds torch's threads can hang
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), initializer=_ignore_interrupts) as pool:
        try:
            for done, result in enumerate(pool.map(work, jobs, chunksize=chunk), 1):
                if progress and (done % 16 == 0 or done == len(jobs)):
                    progress(what, done, len(jobs))
                yield result
        except BrokenProcessPool as error:
            raise UserError(
                f"a process was killed in {what}, most often because memory was short: the same command begins anew."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def own_start_method() -> None:
    """Start processes as Python does by itself; joblib's workers have a way of their own, which their children lack."""
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)


def _ignore_interrupts() -> None:
    # Ctrl-C is the main process's to answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ahead(work: Callable[[Job], Result], items: Iterable[Job], threads: int) -> Iterator[Result]:
    """``work(item)`` in threads, results in order; at most ``threads + 2`` items are in hand at once.

    The next item is taken in the caller's thread while earlier ones are worked on. Where the caller stops, or an error
    comes up, what has not been started is dropped.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            while waiting and (len(waiting) > threads + 2 or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

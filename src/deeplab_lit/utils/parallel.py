"""Parallel work on many files: in processes, or in threads that run ahead of the caller."""

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
    """Yield ``work(job)`` for every job, in order, computed on all cores.

    Args:
        work: a function that other processes can import.
        jobs: the arguments of ``work``.
        what: the name of the work, for ``progress``.
        progress: told now and then how many jobs are done.

    Raises:
        UserError: a worker process was killed.
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
                f"a process was killed in {what}, most often because memory was short: the same command begins anew. A "
                'script of your own has to begin its work below if __name__ == "__main__":.'
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def own_start_method() -> None:
    """Set Python's own start method if joblib has set one that its workers' children lack."""
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)


def _ignore_interrupts() -> None:
    # the main process handles Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ahead(work: Callable[[Job], Result], items: Iterable[Job], threads: int) -> Iterator[Result]:
    """Yield ``work(item)`` for every item, in order, computed in threads ahead of the caller.

    The next item is taken in the caller's thread while earlier ones are worked on, at most ``threads + 2`` at once.
    When the caller stops or an error occurs, items that have not been started are dropped.
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

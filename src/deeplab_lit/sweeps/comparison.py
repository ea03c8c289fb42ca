"""The comparison of the runs of a sweep: what differs between them, and their scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from deeplab_lit.cli.error_messages import explain
from deeplab_lit.config.compose import compose
from deeplab_lit.config.hydra_private import error_of, failures_as_results
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, find_result
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.hardware import is_first_process
from deeplab_lit.utils.terminal import table


class _Recorder:
    """A launcher that keeps what each job ended with.

    Args:
        launcher: Hydra's launcher, which runs the jobs.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.jobs: list[tuple[list[str], JobReturn]] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with failures_as_results():
            results: Sequence[JobReturn] = self._launcher.launch(job_overrides, initial_job_idx=initial_job_idx)
        self.jobs += zip(map(list, job_overrides), results, strict=True)
        return results


@contextmanager
def compared(launcher: Launcher) -> Iterator[Any]:
    """A context in which a sweep runs its trainings; at its end, a table compares them.

    Args:
        launcher: Hydra's launcher.

    Yields:
        The launcher that the sweep has to use.

    Raises:
        UserError: some trainings failed by mistakes of the user; the table and lines below it name them. Where all
            failed, the first one's error is raised.
    """
    recorder = _Recorder(launcher)
    try:
        yield recorder
    except Exception as error:
        failed = sum(error_of(job) is not None for _, job in recorder.jobs)
        if failed == len(recorder.jobs):  # there is nothing to compare
            raise
        _show(recorder.jobs)
        if not failed or not isinstance(error, UserError):
            raise
        raise UserError(f"{failed} of {len(recorder.jobs)} trainings failed; the lines above say why.") from error
    _show(recorder.jobs)


def _show(jobs: Sequence[tuple[list[str], JobReturn]]) -> None:
    if not jobs or not is_first_process():
        return
    told = [dict(each.split("=", 1) for each in overrides if "=" in each) for overrides, _ in jobs]
    keys = [key for key in dict.fromkeys(key for each in told for key in each) if len({e.get(key) for e in told}) > 1]
    errors = [error_of(job) for _, job in jobs]
    runs = [None if error else _run_of(overrides) for (overrides, _), error in zip(jobs, errors, strict=True)]
    results = [Result.read(run.result) if run else None for run in runs]
    with_crf = any(each and each.crf for each in results)
    lines = []
    for each, run, result in zip(told, runs, results, strict=True):
        scores = ["failed", ""] if result is None else [_percent(result.miou), _percent(result.crf_miou)]
        seconds = f"{result.seconds:.0f}" if result and result.seconds is not None else ""
        lines.append([*(each.get(key, "") for key in keys), *scores, seconds, str(run.folder) if run else ""])
    names = [key.lstrip("+") for key in keys]
    titles = [*names, "mIoU", "with CRF" if with_crf else "", "seconds", "run"]
    print(table(titles, lines, [*names, "run"], "the trainings of this sweep"))
    for number, (each, error) in enumerate(zip(told, errors, strict=True), 1):
        if error is not None:
            print(f"{', '.join(f'{key}={each[key]}' for key in keys if key in each) or number}: {_reason(error)}")


def _run_of(overrides: Sequence[str]) -> Run | None:
    config = compose(overrides)
    return find_result(Path(config.output).expanduser(), config)


def _reason(error: Exception) -> str:
    return explain(error, "train") if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"

"""The comparison of the runs of a sweep: what differs between them, their scores, and the report over their seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from deeplab_lit.cli.error_messages import MISTAKES, explain
from deeplab_lit.config.compose import compose
from deeplab_lit.config.hydra_private import error_of, failures_as_results
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.data.source import open_source
from deeplab_lit.reports.report import write_report
from deeplab_lit.reports.report_rows import FinishedRun
from deeplab_lit.reports.sweep_report import sweep_report
from deeplab_lit.reports.tables import as_tables
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import find_result, read_config
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import new_folder
from deeplab_lit.utils.hardware import is_first_process
from deeplab_lit.utils.terminal import table


class _Recorder:
    """A launcher that keeps what each job ended with.

    Args:
        launcher: Hydra's launcher, which runs the jobs.
        elsewhere: whether it runs them on other machines, which may have other disks.
    """

    def __init__(self, launcher: Launcher, elsewhere: bool) -> None:
        self._launcher, self._elsewhere = launcher, elsewhere
        self.jobs: list[tuple[list[str], JobReturn]] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        if not self._elsewhere:
            _check_data([list(each) for each in job_overrides])
        with failures_as_results():
            results: Sequence[JobReturn] = self._launcher.launch(job_overrides, initial_job_idx=initial_job_idx)
        self.jobs += zip(map(list, job_overrides), results, strict=True)
        for job in results:  # Hydra would print a line of its own before it raises the error
            if (error := error_of(job)) is not None:
                raise error
        return results


def _check_data(job_overrides: Sequence[list[str]]) -> None:
    """Check that all files of each job's data set are there, before the first job trains for hours.

    Raises:
        UserError: a file or a folder is missing.
    """
    if len(job_overrides) < 2:
        return
    found: dict[str, dict[str, Any]] = {}
    for overrides in job_overrides:
        with suppress(*MISTAKES):  # the job itself says so
            data = compose(overrides).data
            found.setdefault(json.dumps(data, sort_keys=True, default=str), data)
    for data in found.values() if len(found) > 1 else ():
        source = open_source(data)
        for name in ("train", "val"):
            source.split(name)


@contextmanager
def compared(launcher: Launcher, *, elsewhere: bool = False) -> Iterator[Any]:
    """A context in which a sweep runs its trainings; at its end, a table compares them.

    Args:
        launcher: Hydra's launcher.
        elsewhere: whether it runs the trainings on other machines, which may have other disks.

    Yields:
        The launcher that the sweep has to use.

    Raises:
        UserError: some trainings failed by mistakes of the user; the table and lines below it name them. Where all
            failed, the first one's error is raised.
    """
    recorder = _Recorder(launcher, elsewhere)
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
    values = [{key.lstrip("+"): each[key] for key in keys if key in each} for each in told]
    errors = [error_of(job) for _, job in jobs]
    # the config of a job that failed may be the reason
    configs = [None if error else compose(overrides) for (overrides, _), error in zip(jobs, errors, strict=True)]
    runs = [None if config is None else _finished(config) for config in configs]
    with_crf = any(run and run.result.crf for run in runs)
    lines = []
    for each, run in zip(values, runs, strict=True):
        result = run.result if run else None
        scores = ["failed", ""] if result is None else [_percent(result.miou), _percent(result.crf_miou)]
        seconds = f"{result.seconds:.0f}" if result and result.seconds is not None else ""
        lines.append([*(each.get(key.lstrip("+"), "") for key in keys), *scores, seconds, _place(run)])
    names = [key.lstrip("+") for key in keys]
    titles = [*names, "mIoU", "with CRF" if with_crf else "", "seconds", "run"]
    print(table(titles, lines, [*names, "run"], "the trainings of this sweep"))
    reasons = ["" if error is None else _reason(error) for error in errors]
    for number, (each, reason) in enumerate(zip(values, reasons, strict=True), 1):
        if reason:
            print(f"{', '.join(f'{key}={value}' for key, value in each.items()) or number}: {reason}")
    if sum(run is not None for run in runs) > 1:
        known = [config for config in configs if config is not None]
        # runs that have one name are called by it, others by what differs
        one_name = len({config.name for config in known}) == 1
        name = known[0].name if one_name else ", ".join(key for key in names if key != "seed")
        _report(
            name,
            Path(known[0].output).expanduser(),
            [(each, run or reason) for each, run, reason in zip(values, runs, reasons, strict=True)],
        )


def _report(name: str, output: Path, runs: Sequence[tuple[Mapping[str, str], FinishedRun | str]]) -> None:
    """Print the report where a row has several seeds, and write its files."""
    report = sweep_report(name, runs)
    if any("seed" in each for each, _ in runs):
        print()
        for text in as_tables(report):
            print(text)
    write_report(report, new_folder(output / "sweeps"))


def _place(run: FinishedRun | None) -> str:
    return str(run.run.folder) if run else ""


def _finished(config: TrainConfig) -> FinishedRun | None:
    run = find_result(Path(config.output).expanduser(), config)
    return FinishedRun(run, read_config(run), Result.read(run.result)) if run else None


def _reason(error: Exception) -> str:
    return explain(error, "train") if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"

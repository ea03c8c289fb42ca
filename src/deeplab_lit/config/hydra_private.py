"""Hydra's private parts that are used here, tested with hydra-core 1.3.8.

pyproject.toml allows only versions below 1.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus

__all__ = ["FileConfigSource", "basic_sweeper", "combinations", "error_of", "failures_as_results"]


def basic_sweeper(max_batch_size: int | None, params: dict[str, str] | None) -> Any:
    """Hydra's own sweeper. Its class is looked up anew, since Hydra loads the module again with the other plugins."""
    from hydra._internal.core_plugins import basic_sweeper

    return basic_sweeper.BasicSweeper(max_batch_size, params)


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Overrides that may have several values, expanded to one list of overrides for each combination of values."""
    return [list(each) for each in BasicSweeper.split_arguments(list(overrides), None)[0]]


def error_of(job: JobReturn) -> Exception | None:
    """The error that a job failed with, or None. Reading ``return_value`` would print a line of Hydra's."""
    return None if job.status == JobStatus.COMPLETED else job._return_value


@contextmanager
def failures_as_results() -> Iterator[None]:
    """A context in which a job that a cluster killed ends like a job that failed; the launcher waits for the others.

    Hydra's launchers for submitit raise the error of the first job without a result, and forget the others.
    """
    try:
        from submitit.core.core import Job
        from submitit.core.utils import FailedJobError, UncompletedJobError
    except ModuleNotFoundError:
        yield
        return
    original = Job.results

    def results(job: Any) -> list[Any]:
        try:
            return list(original(job))
        except (FailedJobError, UncompletedJobError) as error:
            return [JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError(_last_line(error)))]

    Job.results = results  # type: ignore
    try:
        yield
    finally:
        Job.results = original  # type: ignore[method-assign]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip("- \t")]
    return f"its job ended without a result ({lines[-1] if lines else type(error).__name__})"

"""Run a table of the papers: finished rows are skipped, and rows that others start from are trained first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from deeplab_lit.cli.error_messages import explain
from deeplab_lit.config.compose import compose
from deeplab_lit.config.hydra_private import combinations, failures_as_results
from deeplab_lit.config.paths import sweeper_of, tables
from deeplab_lit.config.schemas import RowConfig, TrainConfig
from deeplab_lit.sweeps.prerequisites import settle_start
from deeplab_lit.training.own_process import launched_outside
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import find_finished, find_result, fingerprint
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.files import write_json
from deeplab_lit.utils.over_seeds import OverSeeds
from deeplab_lit.utils.terminal import table

_STATES = {"skipped": "done before"}
"""The words that are printed for states of jobs, where they are others."""


@dataclass
class Job:
    """One row with one seed.

    Attributes:
        overrides: those that its config is composed from.
        config: of the row.
        start: the overrides of the row that it starts from, where that row is not trained yet; else None.
        mark: the fingerprint of its training, which depends on the row that it starts from.
        state: waiting, done, skipped, failed, or "no data".
        reason: of a failure.
    """

    overrides: list[str]
    config: TrainConfig
    start: list[str] | None
    state: str = "waiting"
    reason: str = ""

    @property
    def mark(self) -> str:
        return fingerprint(self.config.as_dict())

    @property
    def row(self) -> RowConfig:
        assert self.config.row is not None
        return self.config.row

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def root(self) -> Path:
        return Path(self.config.output).expanduser()


def rows_with_options(name: str, rows: Sequence[str], overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each row of a table.

    Args:
        name: of the table: the folder of its rows in ``experiments/``.
        rows: their names.
        overrides: those that the user typed; each combination of their values runs the whole table, or the rows that
            ``rows=ROW,ROW`` names.

    Raises:
        UserError: the table has no such row.
    """
    others = [each for each in overrides if each.get_key_element() not in ("experiments", "rows")]
    chosen = _chosen(name, rows, overrides, "rows")
    return [[f"experiments={name}/{row}", *options] for row in chosen for options in combinations(others)]


def _chosen(name: str, known: Sequence[str], overrides: Sequence[Override], what: str) -> Sequence[str]:
    """Those of the known rows, or tables, that ``rows=`` among the overrides names; all of them without it."""
    typed = [each for each in overrides if each.get_key_element() == "rows"]
    # the words behind the key, whichever way the list is written
    wanted = [one for each in combinations(typed[-1:]) for text in each for one in re.findall(r"[\w-]+", text)[1:]]
    if unknown := [each for each in wanted if each not in known and each != "null"]:
        raise UserError(
            f"rows={unknown[0]}: the {what} of {name} are {', '.join(known)}.{closest(unknown[0], list(known))}"
        )
    return [each for each in known if each in wanted] or known


def rows_of_tables(name: str, tables: Sequence[str], overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each row of several tables.

    Args:
        name: of the experiment, for messages.
        tables: the names of the tables.
        overrides: as of :func:`rows_with_options`, but ``rows=TABLE,TABLE`` names some of the tables.

    Raises:
        UserError: ``rows=`` names no table.
    """
    others = [each for each in overrides if each.get_key_element() != "rows"]
    chosen = _chosen(name, tables, overrides, "tables")
    return [row for table in chosen for row in rows_with_options(table, sweeper_of(table)["rows"], others)]


def run_table(name: str, rows: Sequence[list[str]], launcher: Launcher) -> list[Job]:
    """Run a whole table, or several, print the state and scores of each row, and return the jobs.

    If the config of a row has ``preview=true``, nothing is trained and a preview is printed instead.

    Args:
        name: of the experiment.
        rows: the overrides of each row, from :func:`rows_with_options` or :func:`rows_of_tables`.
        launcher: Hydra's launcher, which runs the jobs.

    Raises:
        UserError: a row failed, after all others have been run.
    """
    if launched_outside():
        raise UserError(
            f"experiments={name} starts the processes of its rows itself: run it in one process, with trainer=ddp "
            "trainer.devices=NUMBER, with launcher=slurm, or one row at a time."
        )
    jobs = plan(rows)
    if any(job.config.preview for job in jobs):
        _preview(jobs)
        return jobs
    number = 0
    while wave := _ready(jobs):
        print(f"{name}: {_count(jobs, 'waiting')} of {len(jobs)} rows to run, next {', '.join(j.name for j in wave)}")
        with failures_as_results():
            results = launcher.launch([job.overrides for job in wave], initial_job_idx=number)
        number += len(wave)
        for job, result in zip(wave, results, strict=True):
            _finish(job, result)
        for job in jobs:
            if job.state == "waiting":
                job.start = settle_start(job.config, job.overrides, compose)
    for of, its_jobs in _by_table(name, jobs).items():
        _show(of, its_jobs)
    failed = [job for job in jobs if job.state == "failed"]
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} rows of {name} failed: the same command tries them again.")
    return jobs


def plan(rows: Sequence[list[str]]) -> list[Job]:
    """The jobs of a table, each after the job that it starts from. Finished ones are marked as skipped.

    A row that adds to an earlier one only what its budget has no data for is marked as ``no data``.
    """
    jobs: list[Job] = []
    for overrides in rows:
        _add(jobs, overrides)
    before: set[tuple[str, frozenset[str], frozenset[str]]] = set()
    for job in jobs:
        lacks, marks = set(job.row.lacks or ()), set(job.row.marks)
        options = frozenset(each for each in job.overrides if not each.startswith("experiments="))
        left = (job.row.table, options, frozenset(marks - lacks))
        if lacks & marks and left in before:
            job.state = "no data"
        before.add(left)
    return jobs


def _add(jobs: list[Job], overrides: list[str]) -> None:
    config = compose(overrides)
    start = settle_start(config, overrides, compose)
    job = Job(overrides, config, start)
    if start and not any(each.mark == job.row.start_run for each in jobs):
        _add(jobs, start)
    if find_result(job.root, config):
        job.state = "skipped"
    jobs.append(job)


def _ready(jobs: list[Job]) -> list[Job]:
    """The jobs that can run now. Jobs that need a failed job are marked as failed."""
    wave: list[Job] = []
    training: dict[str, Job] = {}
    for job in jobs:
        before = training.setdefault(job.mark, job)
        if job.state != "waiting":
            continue
        source = training.get(job.row.start_run or "") if job.start else None
        for needed in (source, before if before is not job else None):
            if needed is not None and needed.state == "failed":
                job.state, job.reason = "failed", f"it needs {needed.name}, which failed"
        is_free = before is job or before.state != "waiting" or bool(find_finished(job.root, job.mark))
        if job.state == "waiting" and job.start is None and is_free:
            wave.append(job)
    return wave


def _finish(job: Job, result: JobReturn) -> None:
    try:
        _ = result.return_value  # raises the error of a job that failed
    except Exception as error:
        told = explain(error, "train") if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        job.state, job.reason = "failed", told
    else:
        job.state = "done"


def _preview(jobs: list[Job]) -> None:
    from deeplab_lit.sweeps.preview import Planned, preview

    trained = {job.mark for job in jobs if job.state == "skipped"}
    planned = []
    for job in jobs:
        trains = job.mark not in trained and not find_finished(job.root, job.mark)
        planned.append(Planned(job.name, job.config, trains))
        trained.add(job.mark)
    preview(planned)


def _by_table(name: str, jobs: list[Job]) -> dict[str, list[Job]]:
    """The jobs of each table; the rows that a single table starts from are listed with its own."""
    if name in tables():
        return {name: jobs}
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.row.table, []).append(job)
    return found


def _count(jobs: list[Job], state: str) -> int:
    return sum(job.state == state for job in jobs)


def _show(name: str, jobs: list[Job]) -> None:
    ends, lines = [], []
    scores: dict[tuple[str, ...], list[tuple[Job, Result]]] = {}
    for job in jobs:
        run = find_result(job.root, job.config) if job.state in ("done", "skipped") else None
        result = Result.read(run.result) if run else None
        if result is not None:
            without_seed = tuple(each for each in job.overrides if each.lstrip("+").split("=")[0] != "seed")
            scores.setdefault(without_seed, []).append((job, result))
        published = _published(job.row)
        found = [_percent(result.miou if result else None), _percent(result.crf_miou if result else None)]
        lines.append([job.name, str(job.config.seed), _STATES.get(job.state, job.state), *found, published])
        ends.append({"row": job.name, "seed": job.config.seed, "budget": job.row.budget,
                     "state": job.state, "reason": job.reason, "folder": str(run.folder) if run else None})  # fmt: skip
    if any(job.row.budget != "full" for job in jobs):
        print(f"budget={jobs[0].row.budget}: the published numbers are of other data and longer trainings.")
    print(table(("row", "seed", "state", "mIoU", "with CRF", "published"), lines, ("seed", "state"), name))
    if any(len(each) > 1 for each in scores.values()):
        print(f"\n{_over_seeds(list(scores.values()))}")
    for job in jobs:
        if job.reason:
            print(f"{job.name}, seed {job.config.seed}: {job.reason}")
    write_json(jobs[0].root / name / f"sweep-{jobs[0].row.budget}.json", ends)


def _over_seeds(scores: Sequence[Sequence[tuple[Job, Result]]]) -> str:
    """A table of the mean and the deviation of each row's scores; ``scores`` has the jobs that differ in the seed."""
    lines = []
    for row in scores:
        of_seed = {job.config.seed: result for job, result in row}
        miou = OverSeeds({seed: 100 * result.miou for seed, result in of_seed.items()})
        with_crf = {seed: 100 * result.crf_miou for seed, result in of_seed.items() if result.crf_miou is not None}
        job = row[0][0]
        found = [str(miou), str(OverSeeds(with_crf)) if with_crf else ""]
        lines.append([job.name, " ".join(map(str, of_seed)), *found, _published(job.row)])
    titles = ("row", "seeds", "mIoU", "with CRF", "published")
    return table(titles, lines, ("seeds",), "mean ± deviation over the seeds; deeplab-lit report gives the gains")


def _published(row: RowConfig) -> str:
    return " / ".join(f"{row.published[key]:.2f}" for key in ("miou", "crf_miou") if key in row.published)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"

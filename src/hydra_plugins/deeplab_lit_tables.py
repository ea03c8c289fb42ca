"""The sweepers of published tables and of -m; Hydra finds sweepers in the package ``hydra_plugins`` only."""

from __future__ import annotations

from collections.abc import Sequence
from shutil import which
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from deeplab_lit.config.hydra_private import basic_sweeper
from deeplab_lit.utils.errors import UserError


class Table(Sweeper):  # type: ignore[misc]
    """Runs the rows of a published table; see :mod:`deeplab_lit.sweeps.run_table`.

    Args:
        name: of the table.
        rows: the names of its rows, each a file in the folder with the table's name.
        about, roots: what the table shows and the data that it needs, for --help.
    """

    def __init__(self, name: str, rows: Sequence[str], about: str, roots: str) -> None:
        super().__init__()
        self.name, self.rows = name, list(rows)
        self.launcher: Launcher | None = None

    def jobs(self, overrides: Sequence[Override]) -> list[list[str]]:
        """The overrides of each job, from those that the user typed."""
        from deeplab_lit.sweeps.run_table import rows_with_options

        return rows_with_options(self.name, self.rows, overrides)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.command = config.hydra.job.config_name
        _on_cluster(config)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from deeplab_lit.sweeps.run_table import run_table

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        jobs = self.jobs(parser.parse_overrides(arguments))
        assert self.launcher is not None
        if self.command == "train":
            return run_table(self.name, jobs, self.launcher)
        return [job.return_value for job in self.launcher.launch(jobs, initial_job_idx=0)]


class Paper(Table):
    """Runs the rows of several tables, as one table's.

    Args:
        tables: their names.
        name, about, roots: as of :class:`Table`.
    """

    def __init__(self, name: str, tables: Sequence[str], about: str, roots: str) -> None:
        super().__init__(name, [], about, roots)
        self.tables = list(tables)

    def jobs(self, overrides: Sequence[Override]) -> list[list[str]]:
        from deeplab_lit.sweeps.run_table import rows_of_tables

        return rows_of_tables(self.name, self.tables, overrides)


class Sweep(Sweeper):  # type: ignore[misc]
    """Runs each combination of values, as Hydra's own sweeper does, and compares the runs of ``train`` at the end.

    Args:
        max_batch_size, params: as Hydra's own sweeper takes them.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None) -> None:
        super().__init__()
        self.basic = basic_sweeper(max_batch_size, params)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.compares = config.hydra.job.config_name == "train" and not config.preview
        self.on_cluster = _on_cluster(config)
        self.basic.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        if not self.compares:
            return self.basic.sweep(arguments)
        from deeplab_lit.reports.comparison import compared

        with compared(self.basic.launcher, elsewhere=self.on_cluster) as self.basic.launcher:
            return self.basic.sweep(arguments)


def _on_cluster(config: DictConfig) -> bool:
    """Whether SLURM runs the jobs.

    Raises:
        UserError: it would have to, and this machine has none.
    """
    if config.hydra.runtime.choices["hydra/launcher"] != "submitit_slurm":
        return False
    if not config.get("preview") and which("srun") is None:
        raise UserError(
            "launcher=slurm submits jobs to SLURM, and this machine has no command srun. Type it where jobs are"
            " submitted, or leave it out to run the trainings here."
        )
    return True

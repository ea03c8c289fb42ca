"""What Hydra is told: where configs lie, their schemas, and what they may compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf

from deeplab_lit.config import command_schemas as commands
from deeplab_lit.config import schemas

SCHEMAS: dict[str, type] = {
    "train": schemas.TrainConfig,
    "evaluate": commands.EvaluateConfig,
    "predict": commands.PredictConfig,
    "refine": commands.RefineConfig,
    "convert": commands.ConvertConfig,
    "export": commands.ExportConfig,
    "push": commands.PushConfig,
    "crf_search": commands.SearchConfig,
    "summary": commands.SummaryConfig,
    "report": commands.ReportConfig,
    "dashboard": commands.DashboardConfig,
    "tune": commands.TuneConfig,
    "augment": schemas.AugmentConfig,
    "crf": schemas.CRFConfig,
    "dense_crf": schemas.DenseCRFConfig,
    "init": schemas.InitConfig,
    "imagenet": schemas.ImageNetConfig,
    "checkpoint": schemas.CheckpointConfig,
    "parity": schemas.ParityConfig,
    "scales": schemas.ScalesConfig,
    "loss": schemas.LossConfig,
    "sgd": schemas.SGDConfig,
    "adamw": schemas.AdamWConfig,
    "poly": schemas.PolyConfig,
    "step": schemas.StepConfig,
}


# rows say the published numbers of steps; smaller scales are shares of them
OmegaConf.register_new_resolver("times", lambda number, factor: round(number * factor), replace=True)


def conf_folder() -> Path:
    """The folder of config groups: inside an installed package, beside ``src/`` in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent.parent / "conf"


def experiments_folder() -> Path:
    """The folder of the papers' tables and other experiments, beside ``conf``."""
    return conf_folder().parent / "experiments"


def tables() -> list[str]:
    """The names of all tables: those experiments that have a folder of rows."""
    folder = experiments_folder()
    return sorted(file.stem for file in folder.glob("*.yaml") if (folder / file.stem).is_dir())


class _ExperimentsSource(FileConfigSource):  # type: ignore[misc]
    """A folder as if ``experiments`` alone lay in it: in a checkout, results lie there too, under the names of keys."""

    @staticmethod
    def scheme() -> str:
        return "experiments"

    @staticmethod
    def _is_inside(config_path: str) -> bool:
        return config_path.split("/", 1)[0] == "experiments"

    def available(self) -> bool:
        return super().is_group("experiments")

    def is_group(self, config_path: str) -> bool:
        return config_path == "" or (self._is_inside(config_path) and super().is_group(config_path))

    def is_config(self, config_path: str) -> bool:
        return self._is_inside(config_path) and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        found = super().list(config_path, results_filter)
        return found if config_path else [name for name in found if name == "experiments"]


class _Experiments(SearchPathPlugin):  # type: ignore[misc]
    """Makes the folder ``experiments``, which lies beside ``conf``, a config group of that name."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("deeplab_lit", f"{_ExperimentsSource.scheme()}://{conf_folder().parent}")


@dataclass
class _TableConfig:
    """Of the sweeper that runs a table's rows."""

    _target_: str = "hydra_plugins.deeplab_lit_tables.Table"
    name: str = MISSING
    rows: list[str] = MISSING


@contextmanager
def compose_once() -> Iterator[None]:
    """Let Hydra's ``--info`` show one composition; by itself it composes the same config several times over."""
    steps = ((config_loader_impl, "create_defaults_list"), (ConfigLoaderImpl, "load_configuration"))
    originals = [getattr(owner, name) for owner, name in steps]
    for (owner, name), original in zip(steps, originals, strict=True):
        setattr(owner, name, _once(original))
    try:
        yield
    finally:
        for (owner, name), original in zip(steps, originals, strict=True):
            setattr(owner, name, original)


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    results: list[Any] = []

    def answer(*arguments: Any, **options: Any) -> Any:
        if not results:
            results.append(function(*arguments, **options))
        return results[0]

    return answer


def register_schemas() -> None:
    """Make :data:`SCHEMAS` known to Hydra as ``/schema/NAME``, and the experiments."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="table", node=_TableConfig)
    for name, schema in SCHEMAS.items():
        store.store(group="schema", name=name, node=schema)
    Plugins.instance().register(_ExperimentsSource)
    Plugins.instance().register(_Experiments)

"""Hydra's config store: registration of schemas, of the config group ``experiments``, and of the sweepers."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf

from deeplab_lit.config import command_schemas as commands
from deeplab_lit.config import paths, schemas
from deeplab_lit.config.hydra_private import FileConfigSource
from deeplab_lit.utils.slurm import tasks_per_node

SCHEMAS: dict[str, type] = {
    "train": schemas.TrainConfig,
    "evaluate": commands.EvaluateConfig,
    "predict": commands.PredictConfig,
    "refine": commands.RefineConfig,
    "pseudo": commands.PseudoConfig,
    "audit": commands.AuditConfig,
    "convert": commands.ConvertConfig,
    "export": commands.ExportConfig,
    "push": commands.PushConfig,
    "crf_search": commands.CRFSearchConfig,
    "check_data": commands.CheckDataConfig,
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
    "logger": schemas.LoggerConfig,
}


# rows hold the published numbers of steps, which smaller budgets multiply by a factor; no step is none
OmegaConf.register_new_resolver("times", lambda number, factor: max(1, round(number * factor)), replace=True)

# the batch of one process does not follow from the data set if that of all processes is given
OmegaConf.register_new_resolver("unless", lambda told, default: default if told is None else None, replace=True)

# defaults of groups that follow from the choice of another group: ImageNet's weights for the trunk that has them
# installed, so that nothing is downloaded, and the CRF on the embedded data, whose small images take it no time
OmegaConf.register_new_resolver(
    "init_of",
    lambda backbone: "imagenet" if backbone in ("efficientnet_lite0", "lite0_early") else "random",
    replace=True,
)
OmegaConf.register_new_resolver("crf_of", lambda data: "v2_resnet101" if data == "shapes" else "none", replace=True)


def _gpus(otherwise: int) -> int:
    import torch  # after all other keys are checked, and only where a config asks for it

    return torch.cuda.device_count() or otherwise


OmegaConf.register_new_resolver("gpus", _gpus, replace=True)
OmegaConf.register_new_resolver("slurm_tasks_per_node", tasks_per_node, replace=True)


class _ExperimentsSource(FileConfigSource):  # type: ignore[misc]
    """A config source of one folder, of which it lists only the subfolder ``experiments``.

    In a checkout, the folder is the repository, whose folders of results may have the names of config keys.
    """

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
        names = super().list(config_path, results_filter)
        return names if config_path else [name for name in names if name == "experiments"]


class _Experiments(SearchPathPlugin):  # type: ignore[misc]
    """Makes the folder ``experiments``, which lies beside ``conf``, a config group of that name."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("deeplab_lit", f"{_ExperimentsSource.scheme()}://{paths.conf_folder().parent}")


@dataclass
class _TableConfig:
    """The config of the sweeper that runs a table's rows."""

    _target_: str = "hydra_plugins.deeplab_lit_tables.Table"
    name: str = MISSING
    rows: list[str] = MISSING
    about: str = MISSING  # what the table shows, for --help
    roots: str = MISSING  # the arguments that set its data roots, for --help


@dataclass
class _PaperConfig:
    """The config of the sweeper that runs the rows of several tables."""

    _target_: str = "hydra_plugins.deeplab_lit_tables.Paper"
    name: str = MISSING
    tables: list[str] = MISSING
    about: str = MISSING  # for --help, as of a table
    roots: str = MISSING


@dataclass
class _SweepConfig:
    """The config of the sweeper of -m, with the keys of Hydra's own one, which it stands in for."""

    _target_: str = "hydra_plugins.deeplab_lit_tables.Sweep"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


def register_schemas() -> None:
    """Register :data:`SCHEMAS` with Hydra as ``/schema/NAME``, the experiments, and the sweepers."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="table", node=_TableConfig)
    store.store(group="hydra/sweeper", name="paper", node=_PaperConfig)
    for name, schema in SCHEMAS.items():
        store.store(group="schema", name=name, node=schema)
    Plugins.instance().register(_ExperimentsSource)
    Plugins.instance().register(_Experiments)
    # after the plugins are loaded, among which Hydra's own sweeper stores its config under this name
    store.store(group="hydra/sweeper", name="basic", node=_SweepConfig)

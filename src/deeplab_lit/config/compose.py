"""Compose configs with Hydra: typed config objects, their choices, overrides and command lines."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from deeplab_lit.config.known_keys import check_known
from deeplab_lit.config.paths import package_folder
from deeplab_lit.config.schemas import TrainConfig

_COMPOSED: WeakKeyDictionary[ConfigLoader, dict[tuple[str, ...], TrainConfig]] = WeakKeyDictionary()
"""What each Hydra program has composed; it ends with the program's loader."""


def typed(cfg: DictConfig) -> Any:
    """The dataclass instance that a composed config describes, with every reference resolved.

    Raises:
        OmegaConfBaseException: a required key has no value, or a reference leads nowhere.
        UserError: a key that nothing reads.
    """
    check_known(cfg)
    return OmegaConf.to_object(cfg)


def compose(overrides: Sequence[str]) -> TrainConfig:
    """The typed config of one training, composed from overrides inside a running Hydra program.

    Planning a table asks for the same configs again and again, and each takes a quarter of a second to compose.
    """
    known = _COMPOSED.setdefault(GlobalHydra.instance().config_loader(), {})
    if (key := tuple(overrides)) not in known:
        known[key] = _composed(overrides)
    return deepcopy(known[key])


def _composed(overrides: Sequence[str]) -> TrainConfig:
    loader = GlobalHydra.instance().config_loader()
    cfg = loader.load_configuration("train", list(overrides), RunMode.RUN)
    hydra_config = HydraConfig.instance()
    before = hydra_config.cfg
    hydra_config.set_config(cfg)  # a name may refer to the choices
    with open_dict(cfg):
        del cfg["hydra"]
    try:
        return cast(TrainConfig, typed(cfg))
    finally:
        hydra_config.cfg = before


def choices() -> dict[str, str]:
    """The chosen option of each config group, such as ``{"model": "aspp_l"}``."""
    return dict(HydraConfig.get().runtime.choices)


def overrides() -> list[str]:
    """The overrides that this job's config was composed from."""
    return list(HydraConfig.get().overrides.task)


def is_of_sweep() -> bool:
    """Whether this job belongs to a sweep."""
    return HydraConfig.initialized() and not OmegaConf.is_missing(HydraConfig.get().job, "num")


def train_command(overrides: Sequence[str]) -> str:
    """The command line of a training with these overrides."""
    return shlex.join(["python", "-m", "deeplab_lit.train", *overrides])


def command_line(argv: Sequence[str]) -> str:
    """The command line that ``argv`` (``sys.argv``) comes from, quoted for a shell."""
    program = Path(argv[0])
    if program.parent == package_folder():
        return shlex.join(["python", "-m", f"deeplab_lit.{program.stem}", *argv[1:]])
    return shlex.join([os.fspath(argv[0]), *argv[1:]])

"""Paths of the package, of its config groups, and of the papers' experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PAPER = "paper"
"""The experiment that runs all tables of the papers."""

_PACKAGE = Path(__file__).resolve().parent.parent


def conf_folder() -> Path:
    """The folder of config groups: inside an installed package, beside ``src/`` in a checkout."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "conf"


def experiments_folder() -> Path:
    """The folder of the papers' tables and other experiments, beside ``conf``."""
    return conf_folder().parent / "experiments"


def tables() -> list[str]:
    """The names of all tables: those experiments that have a folder of rows."""
    folder = experiments_folder()
    return sorted(file.stem for file in folder.glob("*.yaml") if (folder / file.stem).is_dir())


def sweeper_of(experiment: str) -> dict[str, Any]:
    """The sweeper's config in the file of an experiment: of a table its ``rows``, of a paper its ``tables``."""
    found = yaml.safe_load((experiments_folder() / f"{experiment}.yaml").read_text(encoding="utf-8"))
    sweeper: dict[str, Any] = found.get("hydra", {}).get("sweeper", {})
    return sweeper


def package_folder() -> Path:
    """The folder of this package, which holds the entry points."""
    return _PACKAGE

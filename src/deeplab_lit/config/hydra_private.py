"""Hydra's private parts that are used here, tested with hydra-core 1.3.8.

pyproject.toml allows only versions below 1.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.override_parser.types import Override

__all__ = ["FileConfigSource", "combinations"]


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Overrides that may have several values, expanded to one list of overrides for each combination of values."""
    return [list(each) for each in BasicSweeper.split_arguments(list(overrides), None)[0]]

"""Departures of a run from its row: the values of its config that are not the row's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deeplab_lit.config.identity import differing

_OF_THE_MACHINE = (
    "seed", "start_run", "tf32", "trainer.precision", "trainer.accumulate_grad_batches", "data.root", "data.sbd",
    "data.annotations", "init.path", "crf.engine",
)  # fmt: skip
"""Keys that decide a result but do not make it that of another row: the seed, the hardware, places of files."""


def departures(config: Mapping[str, Any], of_row: Mapping[str, Any]) -> list[str]:
    """The values of a run's config that are not the row's, such as ``max_steps=2 instead of 800``.

    Keys that one of the configs lacks are left out: the run may be of an earlier version.

    Args:
        config: the resolved config of the run.
        of_row: the resolved config of the row at the run's budget.
    """
    found = differing([of_row, config])
    return [
        f"{key}={_text(own)} instead of {_text(told)}"
        for key, (told, own) in found.items()
        if key not in _OF_THE_MACHINE and _holds(config, key) and _holds(of_row, key)
    ]


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _holds(config: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True

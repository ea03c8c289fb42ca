"""What a row starts from: the best checkpoint of another row, found by what that row's training is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deeplab_lit.config.identity import OF_THE_ROW
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.runs import find_finished, fingerprint

Compose = Callable[[Sequence[str]], TrainConfig]
"""From overrides to the config."""


def overrides_of_start(overrides: Sequence[str], row: str) -> list[str]:
    """The overrides that make the row ``row`` as ``overrides`` make theirs; one start serves all seeds."""
    return [*(each for each in overrides if each.lstrip("+").split("=")[0] not in OF_THE_ROW), f"experiments={row}"]


def settle_start(config: TrainConfig, overrides: Sequence[str], compose: Compose) -> list[str] | None:
    """Write into a row's config which training it starts from, and that one's checkpoint where there is one.

    Args:
        config: of the row; ``config.row.start_run`` and ``start`` are set.
        overrides: that it was composed from.
        compose: makes a config of others.

    Returns:
        The overrides of the row that has to be trained first, or None where nothing is missing.
    """
    row = config.row
    if row is None or not row.starts_from:
        return None
    needed = overrides_of_start(overrides, row.starts_from)
    before = compose(needed)
    settle_start(before, needed, compose)
    row.start_run = fingerprint(before.as_dict())
    trained = find_finished(Path(before.output).expanduser(), row.start_run)
    row.start = str(trained[-1].best) if trained else None
    return None if trained else needed

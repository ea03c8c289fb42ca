"""Prerequisites of a row: the best checkpoint of the row that it starts from, found by that training's fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deeplab_lit.config.identity import OF_THE_ROW
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.runs import find_finished, fingerprint

Compose = Callable[[Sequence[str]], TrainConfig]
"""A function from overrides to a typed config."""


def overrides_of_start(overrides: Sequence[str], row: str) -> list[str]:
    """The overrides of the row ``row``, from which the row of ``overrides`` starts.

    They leave out the seed, so that one training of ``row`` serves all seeds.
    """
    return [*(each for each in overrides if each.lstrip("+").split("=")[0] not in OF_THE_ROW), f"experiments={row}"]


def settle_start(config: TrainConfig, overrides: Sequence[str], compose: Compose) -> list[str] | None:
    """Set ``row.start_run`` (fingerprint) and ``row.start`` (checkpoint) of the training that a row starts from.

    ``row.start`` is None while that training is not finished.

    Args:
        config: of the row; changed in place.
        overrides: those that ``config`` was composed from.
        compose: a function from overrides to a typed config.

    Returns:
        The overrides of the row that has to be trained first, or None where there is none.
    """
    row = config.row
    if row is None or not row.starts_from or set(row.lacks or ()) & set(row.marks):
        return None
    needed = overrides_of_start(overrides, row.starts_from)
    before = compose(needed)
    settle_start(before, needed, compose)
    row.start_run = fingerprint(before.as_dict())
    trained = find_finished(Path(before.output).expanduser(), row.start_run)
    row.start = str(trained[-1].best) if trained else None
    return None if trained else needed

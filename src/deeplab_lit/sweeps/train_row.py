"""Train one row of a table, from the checkpoint of the row that it starts from, unless it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeplab_lit.config.compose import compose, train_command
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.sweeps.prerequisites import settle_start
from deeplab_lit.training.own_process import launched_outside
from deeplab_lit.training.runs import find_result, fingerprint
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.locks import one_at_a_time, one_or_none


def train_row(config: TrainConfig, overrides: Sequence[str]) -> None:
    """Train a row that is not finished; with ``resume=null``, train it again.

    If another process is training the row, this one waits for its end first.

    Args:
        config: of the row.
        overrides: those that ``config`` was composed from.

    Raises:
        UserError: the row starts from another one that has not been trained.
    """
    assert config.row is not None
    row, root = config.row, Path(config.output).expanduser()
    missing = settle_start(config, overrides, compose)
    if missing:
        raise UserError(
            f"{row.name} starts from {row.starts_from}, which is not below {config.output}: "
            f"{train_command(missing)} trains it."
        )

    def finished() -> bool:
        done = find_result(root, config) if config.resume else None
        if done is not None:
            print(f"{row.name} is finished: {done.result}. resume=null trains it again.")
        return done is not None

    if finished():
        return
    from deeplab_lit.training.train import train_or_exit
    from deeplab_lit.utils.hardware import is_first_process

    command = train_command(overrides)
    if not is_first_process():
        train_or_exit(config, command)
        return
    lock, busy = root / row.table / fingerprint(config.as_dict()), f"another process is training {row.name}"
    if launched_outside():  # the other processes of this training do not wait
        with one_or_none(lock, f"{busy}: wait for its end."):
            train_or_exit(config, command)
        return
    with one_at_a_time(lock, f"{busy}: waiting for its end"):
        if not finished():
            train_or_exit(config, command)

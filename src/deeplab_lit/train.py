"""Train and evaluate: ``python -m deeplab_lit.train [GROUP=CHOICE ...] [KEY=VALUE ...]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import check_no_table, check_pair, entry_point, plain, typed
from deeplab_lit.config.schemas import RowConfig, TrainConfig
from deeplab_lit.training.runs import command_line, find_result, fingerprint
from deeplab_lit.utils.errors import Interrupted, UserError
from deeplab_lit.utils.locks import one_at_a_time


@entry_point("train")
def main(cfg: DictConfig) -> None:
    check_pair(cfg)
    check_no_table()
    if cfg.row is not None and not cfg.row.table:
        raise UserError(
            f"scale={cfg.row.scale} is for the rows of published tables: type experiments=TABLE or TABLE/ROW with it, "
            "such as experiments=table4_resnet101."
        )
    record, config = plain(cfg), typed(cfg)
    if config.preview:
        from deeplab_lit.sweeps.preview import Planned, preview

        preview([Planned(config.name, config, record, trains=True)])
        return
    if config.data.get("check"):
        from deeplab_lit.data.check_data import check_data

        check_data(config)
        return
    if config.row is None:
        _train(config, record, command_line(sys.argv))
    else:
        _train_row(config, record, config.row)


def _train_row(config: TrainConfig, record: dict[str, Any], row: RowConfig) -> None:
    """Train a row, or wait for the process that does: sweeps may meet."""
    told, root = _settle(config, record), Path(config.output).expanduser()

    def finished() -> bool:
        done = find_result(root, record) if config.resume else None
        if done is not None:
            print(f"{row.name} is finished: {done.result}. resume=null trains it again.")
        return done is not None

    if finished():
        return
    # torch and lightning take seconds to import: mistakes in the config have been answered by now
    from deeplab_lit.utils.hardware import is_first_process

    if not is_first_process():
        _train(config, record, told)
        return
    mark = fingerprint(record)
    with one_at_a_time(root / row.table / mark, f"another process is training {row.name}: waiting for its end"):
        if not finished():
            _train(config, record, told)


def _train(config: TrainConfig, record: dict[str, Any], told: str) -> None:
    from deeplab_lit.training.train import train

    try:
        train(config, record, told)
    except Interrupted as stopped:
        # what launches several processes takes another status for a crash
        from deeplab_lit.utils.hardware import is_first_process

        if is_first_process():
            print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signum if is_first_process() else 0)
    except RuntimeError as error:
        from deeplab_lit.utils.hardware import lost_another_process

        if not lost_another_process(error):
            raise
        raise UserError("another process of this training has ended; it says why in its own output.") from error


def _settle(config: TrainConfig, record: dict[str, Any]) -> str:
    """Find what a row starts from, and give the command that runs this row alone."""
    from deeplab_lit.cli.entry_point import overrides
    from deeplab_lit.sweeps.prerequisites import command, settle_start
    from deeplab_lit.sweeps.run_table import compose

    assert config.row is not None
    missing = settle_start(record, overrides(), compose)
    if missing:
        raise UserError(
            f"{config.row.name} starts from {config.row.starts_from}, which is not below {config.output}: "
            f"{command(missing)} trains it."
        )
    config.row.start, config.row.start_run = record["row"]["start"], record["row"]["start_run"]
    return command(overrides())


if __name__ == "__main__":
    main()

"""The command train: trains a network and scores its best checkpoint.

``python -m deeplab_lit.train [GROUP=CHOICE ...] [KEY=VALUE ...]``
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.checks import check_numbers, check_training
from deeplab_lit.config.compose import command_line, is_of_sweep, overrides, train_command, typed
from deeplab_lit.training.own_process import takes_several_processes, train_in_own_process
from deeplab_lit.training.runs import run_to_resume
from deeplab_lit.utils.errors import Interrupted


@entry_point("train")
def main(cfg: DictConfig) -> None:
    check_training(cfg)
    config = typed(cfg)
    check_numbers(config)
    if config.resume not in (None, "auto"):
        run_to_resume(config)  # raises if there is none
    # importing torch and lightning takes seconds, so errors in the config are reported before
    if config.preview:
        from deeplab_lit.sweeps.preview import Planned, preview

        preview([Planned(config.name, config, trains=True)])
    elif is_of_sweep() and takes_several_processes(config):
        try:
            train_in_own_process(overrides())
        except Interrupted as stopped:
            sys.exit(128 + stopped.signum)  # it has said so itself
    elif config.row is not None:
        from deeplab_lit.sweeps.train_row import train_row

        train_row(config, overrides())
    else:
        from deeplab_lit.training.train import train_or_exit

        train_or_exit(config, train_command(overrides()) if is_of_sweep() else command_line(sys.argv))


if __name__ == "__main__":
    main()

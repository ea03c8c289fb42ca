"""Train and evaluate: ``python -m deeplab_lit.train [GROUP=CHOICE ...] [KEY=VALUE ...]``."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from deeplab_lit.app import check_pair, entry_point, plain, typed


@entry_point("train")
def main(cfg: DictConfig) -> None:
    check_pair(cfg)
    record, config = plain(cfg), typed(cfg)
    # torch and lightning take seconds to import: mistakes in the config have been answered by now
    from deeplab_lit.runs import command_line
    from deeplab_lit.training import train

    train(config, record, command_line(sys.argv))


if __name__ == "__main__":
    main()

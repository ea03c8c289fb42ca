"""The command summary: prints parameters, operations, field of view and memory of a training's network.

``python -m deeplab_lit.summary model=... backbone=... [json=true]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.checks import check_training
from deeplab_lit.config.compose import typed


@entry_point("summary")
def main(cfg: DictConfig) -> None:
    check_training(cfg)
    config = typed(cfg)
    from deeplab_lit.training.summary import summary

    summary(config)


if __name__ == "__main__":
    main()

"""The command convert: converts weights of other code bases to a checkpoint of this library.

``python -m deeplab_lit.convert source=FILE out=FILE``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("convert")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.weights.convert import convert

    convert(config)


if __name__ == "__main__":
    main()

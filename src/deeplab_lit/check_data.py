"""The command check_data: reads a whole data set and reports its faults.

``python -m deeplab_lit.check_data data=... [against=DIR]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("check_data")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.data.check_data import check_data

    check_data(config)


if __name__ == "__main__":
    main()

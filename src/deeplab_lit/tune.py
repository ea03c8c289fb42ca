"""The command tune: searches hyper-parameters; takes every key of train.

``python -m deeplab_lit.tune [search.KEY=VALUE ...]``
"""

from __future__ import annotations

import re

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.checks import check_training
from deeplab_lit.config.compose import overrides, typed
from deeplab_lit.config.identity import OF_THE_STUDY


@entry_point("tune")
def main(cfg: DictConfig) -> None:
    check_training(cfg)
    config = typed(cfg)
    from deeplab_lit.training.tune import tune

    tune(config, [each for each in overrides() if re.split("[.@=]", each.lstrip("+~"))[0] not in OF_THE_STUDY])


if __name__ == "__main__":
    main()

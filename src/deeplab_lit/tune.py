"""The command tune: searches hyper-parameters; takes every key of train.

``python -m deeplab_lit.tune [search.KEY=VALUE ...]``
"""

from __future__ import annotations

import re
import sys

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.checks import check_training
from deeplab_lit.config.compose import overrides, typed
from deeplab_lit.config.identity import OF_THE_STUDY
from deeplab_lit.utils.errors import Interrupted


@entry_point("tune")
def main(cfg: DictConfig) -> None:
    check_training(cfg)
    config = typed(cfg)
    from deeplab_lit.training.tune import tune

    given = [each for each in overrides() if re.split("[.@=]", each.lstrip("+~"))[0] not in OF_THE_STUDY]
    try:
        tune(config, given)
    except Interrupted as stopped:
        print(f"{stopped}; the same command goes on with the search", file=sys.stderr)
        sys.exit(128 + stopped.signum)


if __name__ == "__main__":
    main()

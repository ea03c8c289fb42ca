"""The command evaluate: scores a checkpoint before and after the CRF.

``python -m deeplab_lit.evaluate checkpoint=PATH [GROUP=CHOICE ...] [KEY=VALUE ...]``
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import command_line, typed
from deeplab_lit.utils.openmp import leave_cores_to_the_crf
from deeplab_lit.utils.shards import own_shard


@entry_point("evaluate")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    own_shard(config.shard)  # a mistake is answered before torch is imported
    if config.crf.name != "none":
        leave_cores_to_the_crf()
    from deeplab_lit.inference.evaluate import evaluate

    evaluate(config, command_line(sys.argv))


if __name__ == "__main__":
    main()

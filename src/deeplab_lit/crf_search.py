"""The command crf_search: searches the CRF's parameters as the papers do (V1, section 5; V2, section 4.1.1).

``python -m deeplab_lit.crf_search checkpoint=PATH``
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import command_line, typed


@entry_point("crf_search")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.inference.crf_search import crf_search

    crf_search(config, command_line(sys.argv))


if __name__ == "__main__":
    main()

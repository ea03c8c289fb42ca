"""The papers' search for the CRF's parameters: ``python -m deeplab_lit.crf_search checkpoint=PATH``."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point, plain, typed


@entry_point("crf_search")
def main(cfg: DictConfig) -> None:
    record, config = plain(cfg), typed(cfg)
    from deeplab_lit.inference.crf_search import search_parameters
    from deeplab_lit.training.runs import command_line

    search_parameters(config, record, command_line(sys.argv))


if __name__ == "__main__":
    main()

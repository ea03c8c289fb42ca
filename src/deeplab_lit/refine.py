"""The command refine: applies the CRF to saved probabilities.

``python -m deeplab_lit.refine images=DIR probabilities=DIR out=DIR crf=...``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed
from deeplab_lit.utils.shards import own_shard


@entry_point("refine")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    own_shard(config.shard)  # a mistake is answered before torch is imported
    from deeplab_lit.inference.refine import refine

    refine(config)


if __name__ == "__main__":
    main()

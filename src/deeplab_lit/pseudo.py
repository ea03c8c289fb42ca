"""The command pseudo: makes masks of class activation maps.

``python -m deeplab_lit.pseudo cams=DIR images=DIR out=DIR [background=...] [crf=...]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed
from deeplab_lit.data.background_scores import check_pseudo
from deeplab_lit.utils.shards import own_shard


@entry_point("pseudo")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    # mistakes are answered before torch is imported
    own_shard(config.shard)
    check_pseudo(config)
    from deeplab_lit.inference.pseudo import pseudo

    pseudo(config)


if __name__ == "__main__":
    main()

"""The command predict: predicts labels for images.

``python -m deeplab_lit.predict checkpoint=PATH images=FILE|DIR|GLOB out=DIR [crf=...]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.utils.openmp import leave_cores_to_the_crf
from deeplab_lit.utils.shards import own_shard


@entry_point("predict")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    # mistakes are answered before torch is imported
    own_shard(config.shard)
    find_images(config.images)
    if config.crf.name != "none":
        leave_cores_to_the_crf()
    from deeplab_lit.inference.predict import predict

    predict(config)


if __name__ == "__main__":
    main()

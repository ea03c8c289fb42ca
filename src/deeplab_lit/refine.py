"""The command refine: applies the CRF to saved probabilities.

``python -m deeplab_lit.refine images=DIR probabilities=DIR out=DIR crf=...``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed
from deeplab_lit.data.score_files import check_form
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.shards import own_shard


@entry_point("refine")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    # mistakes are answered before torch is imported
    own_shard(config.shard)
    check_form(config)
    if config.save_probabilities and config.zero_is is not None and config.classes is None:
        raise UserError(
            "save_probabilities=true of files that have maps of some classes needs to know how many there are: type "
            "classes=FILE, one class name a line."
        )
    from deeplab_lit.inference.refine import refine

    refine(config)


if __name__ == "__main__":
    main()

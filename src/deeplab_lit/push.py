"""The command push: uploads a trained network to the Hugging Face Hub.

``python -m deeplab_lit.push checkpoint=PATH repo=USER/NAME``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("push")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.exports.push import push

    push(config)


if __name__ == "__main__":
    main()

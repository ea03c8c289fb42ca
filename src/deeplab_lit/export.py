"""The command export: writes a trained network in a format for other programs.

``python -m deeplab_lit.export checkpoint=PATH format=onnx``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("export")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.exports.export import export

    export(config)


if __name__ == "__main__":
    main()

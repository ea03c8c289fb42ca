"""The command audit: reports the faults of pseudo-labels.

``python -m deeplab_lit.audit masks=DIR images=DIR out=DIR [truth=DIR] [tags=LIST]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("audit")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.inference.audit import audit

    audit(config)


if __name__ == "__main__":
    main()

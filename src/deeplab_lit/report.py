"""The command report: compares finished runs with the papers' tables.

``python -m deeplab_lit.report [sweep=runs/TABLE]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("report")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.reports.report import report

    report(config)


if __name__ == "__main__":
    main()

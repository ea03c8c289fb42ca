"""The command dashboard: builds a report in Weights & Biases for one table of the papers.

``python -m deeplab_lit.dashboard group=TABLE-BUDGET [entity=TEAM]``
"""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import entry_point
from deeplab_lit.config.compose import typed


@entry_point("dashboard")
def main(cfg: DictConfig) -> None:
    config = typed(cfg)
    from deeplab_lit.reports.dashboard import dashboard

    dashboard(config)


if __name__ == "__main__":
    main()

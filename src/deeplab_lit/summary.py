"""What a training would build: ``python -m deeplab_lit.summary model=... backbone=... [json=true]``."""

from __future__ import annotations

from omegaconf import DictConfig

from deeplab_lit.cli.entry_point import check_no_table, check_pair, entry_point, plain, typed


@entry_point("summary")
def main(cfg: DictConfig) -> None:
    check_pair(cfg)
    check_no_table()
    record, config = plain(cfg), typed(cfg)
    from deeplab_lit.training.summary import summarise

    summarise(config, record)


if __name__ == "__main__":
    main()

"""Defaults of groups that follow from the choice of another group, in conf/train.yaml."""

import re

import pytest

from deeplab_lit.config.paths import experiments_folder, tables
from tests.composing import compose


@pytest.mark.parametrize(
    ("typed", "init", "crf"),
    [
        ([], "imagenet", "dense"),
        (["backbone=resnet101", "model=aspp_l"], "random", "dense"),
        (["backbone=timm"], "random", "dense"),
        (["backbone=efficientnet_lite0", "data=voc", "data.root=x"], "imagenet", "none"),
        (["init=random", "crf=none"], "random", "none"),
        (["backbone=resnet50", "init=imagenet", "data=voc", "crf=v1_largefov", "data.root=x"], "imagenet", "dense"),
    ],
)
def test_they_follow_unless_they_are_typed(typed, init, crf):
    cfg = compose(*typed)
    assert cfg.init.name == init and cfg.crf.name == crf
    assert cfg.backbone.get("frozen_norm", init == "imagenet") is (init == "imagenet")


@pytest.mark.parametrize("budget", ["full", "mini"])
def test_a_row_has_the_crf_that_its_file_says(budget):
    """On the embedded data too, where other trainings are scored with the CRF."""
    rows = [file for table in tables() for file in sorted((experiments_folder() / table).glob("*.yaml"))]
    assert len(rows) > 30
    for file in rows:
        row = f"{file.parent.name}/{file.stem}"
        cfg = compose(f"experiments={row}", f"budget={budget}", "roots.voc=x", "roots.sbd=x", "roots.coco=x")
        scored_without = re.match("table[24679]", file.parent.name)
        without = bool(scored_without) and not file.stem.endswith("crf")
        assert (cfg.crf.name == "none") == without, row

"""Meanings of arguments, against the classes themselves."""

import inspect

import pytest
import yaml

from deeplab_lit.cli.docstrings import arguments_of
from deeplab_lit.config.paths import conf_folder
from deeplab_lit.utils.instantiate import locate

FILES = [file for group in ("data", "backbone", "model") for file in sorted((conf_folder() / group).glob("*.yaml"))]
TARGETS = sorted({read["_target_"] for file in FILES if "_target_" in (read := yaml.safe_load(file.read_text()))})


@pytest.mark.parametrize("target", TARGETS)
def test_every_argument_that_a_config_may_set_has_a_meaning(target):
    takes = set(inspect.signature(locate(target, "class")).parameters)
    found = arguments_of(target)
    assert takes <= set(found)
    for text in found.values():
        assert text and "``" not in text and ":class:" not in text and "None" not in text, text


def test_what_is_told_at_another_class_is_taken_from_there():
    heads = "deeplab_lit.models.heads"
    dropout = arguments_of(f"{heads}.FieldOfView")["dropout"]
    assert dropout.startswith("probability") and arguments_of(f"{heads}.ASPP")["dropout"] == dropout
    root = arguments_of("deeplab_lit.data.voc.VOC")["root"]
    masks = arguments_of("deeplab_lit.data.sbd.VOCAug")["train_masks"]
    assert arguments_of("deeplab_lit.data.sbd.VOCAug")["root"] == root
    assert masks.endswith("SBD's masks are then not needed") and "pseudo-labels" in masks


@pytest.mark.parametrize("target", ["mine.trunks.Trunk", "deeplab_lit.data.voc.Nothing", "deeplab_lit.no.Class", ""])
def test_other_classes_have_none(target):
    assert arguments_of(target) == {}

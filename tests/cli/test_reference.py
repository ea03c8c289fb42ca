"""Groups, choices and keys, against Hydra's own idea of them."""

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig

import deeplab_lit
from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.help import program_text
from deeplab_lit.cli.reference import all_keys, choices, groups_of, keys
from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder
from tests.composing import compose


def test_every_command_has_a_file_a_schema_and_an_entry_point():
    files = {file.stem for file in conf_folder().glob("*.yaml")} - {"choices", "follows", "hydra_settings"}
    package = Path(deeplab_lit.__file__).parent
    modules = {file.stem for file in package.glob("*.py") if not file.stem.startswith("_")}
    assert files == modules == set(COMMANDS) and files <= set(SCHEMAS)
    text = program_text()
    assert all(re.search(rf"^  {name} ", text, re.M) for name in COMMANDS)


def test_every_choice_and_key_says_what_it_is():
    for group in {group for command in COMMANDS for group in groups_of(command)}:
        for choice in choices(group):
            has_rows = (conf_folder().parent / "experiments" / choice.name).is_dir()  # a table says it itself
            assert choice.meaning or (group == "experiments" and has_rows), (group, choice.name)
    for command in COMMANDS:
        assert all(key.meaning for key in keys(command))
    known = yaml.safe_load((conf_folder() / "choices.yaml").read_text())
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()}
    assert set(known) == groups | {"experiments"}
    for group in groups:
        assert set(known[group]) == {file.stem for file in (conf_folder() / group).glob("*.yaml")}, group


def composed_keys(node, prefix=""):
    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from composed_keys(child, f"{prefix}{key}.")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["data=coco91", "optimizer=sgd", "schedule=step", "crf=v2_vgg16"],
        ["init=imagenet", "backbone=vgg16", "scales=msc"],
    ],
)
def test_keys_are_those_that_hydra_composes(arguments):
    found = {key for key in all_keys("train", arguments) if not key.startswith("row.")}
    groups_of_values = {"launcher", "experiments", "budget"}  # they set values elsewhere
    assert found - groups_of_values == set(composed_keys(compose(*arguments)))

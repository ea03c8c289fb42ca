"""Groups, choices and keys, against Hydra's own idea of them."""

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

import deeplab_lit
from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.help import program_text
from deeplab_lit.cli.reference import all_keys, choices, chosen, groups_of, keys, keys_of_choices
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
        ["recipe=clims"],
    ],
)
def test_keys_are_those_that_hydra_composes(arguments):
    found = {key for key in all_keys("train", arguments) if not key.startswith("row.")}
    groups_of_values = {"launcher", "experiments", "budget", "recipe"}  # they set values elsewhere
    assert found - groups_of_values == set(composed_keys(compose(*arguments)))


def with_every_choice():
    """Arguments that take every choice of the groups of values at least once."""
    groups = [each for each in groups_of("train") if each not in ("launcher", "experiments", "budget", "recipe")]
    # an experiment, a budget and a recipe choose and set in other groups
    yield from (["recipe=rib_coco"], ["experiments=table4_resnet101/aspp", "budget=subset"])
    for group in groups:
        for choice in choices(group):
            # heads that stand on fc6 or on poolings need VGG
            trunk = ["backbone=vgg16"] if group == "model" else []
            yield [f"{group}={choice.name}", *trunk]


@pytest.mark.parametrize("arguments", list(with_every_choice()), ids=" ".join)
def test_the_keys_of_each_choice_have_meanings_and_the_defaults_that_hydra_composes(arguments):
    config, taken = compose(*arguments), chosen("train", arguments)
    for group, found in keys_of_choices(taken).items():
        if group in ("launcher", "experiments", "budget", "recipe"):
            continue
        hidden = {"_target_", "recipe"} | ({"name"} if "_target_" not in config[group] else set())
        assert {f"{group}.{name}" for name in config[group]} - {key.name for key in found} <= {
            f"{group}.{name}" for name in hidden
        }
        for key in found:
            assert key.meaning, key.name
            name = key.name.split(".")[1]
            same_default(key, None if OmegaConf.is_missing(config[group], name) else config[group][name])
    for key in keys("train", arguments):
        if key.name != "name":  # which the test sets
            same_default(key, OmegaConf.select(config, key.name))


def same_default(key, value):
    if key.default == "???":
        assert value is None, key.name
    elif key.default:
        default = yaml.safe_load(key.default)
        # as Hydra reads it, 2e-3 is a number
        assert (float(default) if isinstance(value, float) else default) == value, key.name

"""Choices for the whole config: what an experiment, a budget and a recipe choose and set in other groups.

They are read from the files, without the time that Hydra takes to compose a config.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deeplab_lit.config.paths import conf_folder, experiments_folder

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def choices_made(chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The choices of other groups that the chosen experiment, budget and recipe make."""
    found: dict[str, str] = {}
    for file in _files(chosen):
        found |= _overridden(file)
    return found


def keys_set(chosen: Mapping[str, str | None]) -> dict[str, Any]:
    """The keys that the chosen experiment, budget and recipe set."""
    found: dict[str, Any] = {}
    for file in _files(chosen):
        found = merged(found, _content(file))
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two contents, the second on top of the first, inside of their mappings too."""
    nested = {
        key: merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **nested}


@cache
def read_yaml(file: Path) -> dict[str, Any]:
    """The content of a config file, without what it begins with."""
    return yaml.load(file.read_text(), LOADER) or {}


def _files(chosen: Mapping[str, str | None]) -> list[Path]:
    folders = {"experiments": experiments_folder(), **{each: conf_folder() / each for each in ("budget", "recipe")}}
    files = [folder / f"{chosen.get(group)}.yaml" for group, folder in folders.items()]
    return [file for file in files if file.is_file()]


def _begins_with(file: Path) -> list[Path]:
    named = [each for each in read_yaml(file).get("defaults", []) if isinstance(each, str) and each != "_self_"]
    found = [(conf_folder().parent if each[0] == "/" else file.parent) / f"{each.lstrip('/')}.yaml" for each in named]
    return [each for each in found if each.is_file()]


def _overridden(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for before in _begins_with(file):
        found |= _overridden(before)
    for entry in read_yaml(file).get("defaults", []):
        if isinstance(entry, Mapping):
            found |= {key.removeprefix("override /"): choice for key, choice in entry.items()}
    return found


def _content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for before in _begins_with(file):
        found = merged(found, _content(before))
    return merged(found, {key: value for key, value in read_yaml(file).items() if key != "defaults"})

"""Error messages for user errors: what was given, what is possible, what to type."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from deeplab_lit.cli.reference import all_keys
from deeplab_lit.config import known_keys
from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder, experiments_folder
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.files import DISK_FULL

MISTAKES = (UserError, HydraException, OmegaConfBaseException)
"""The classes of user errors, which are shown without a traceback."""

_EXTRAS = ("joblib", "submitit")  # this package's extras that install a launcher
_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
_RENAMED = {
    "scale": "scale is called budget now: type budget=full, budget=subset or budget=mini.",
    "row.scale": "row.scale is called row.budget now.",
    "data.check": "data.check is a command of its own now: type python -m deeplab_lit.check_data data=...",
    "data.check_against": "data.check_against is now python -m deeplab_lit.check_data data=... against=FOLDER.",
}
"""The message for each key of an earlier version."""
_TAKE_ARGUMENTS = ("data.", "backbone.", "model.", "trainer.", "logger.wandb.", "logger.tensorboard.")
"""Groups whose keys are arguments of what they describe, of which their files do not list all."""


def is_mistake(error: Exception) -> bool:
    """True for errors shown without a traceback: user errors, and OSErrors that mean a full disk."""
    return isinstance(error, MISTAKES) or (isinstance(error, OSError) and error.errno in DISK_FULL)


def explain(error: Exception, command: str) -> str:
    """The message for an error that :func:`is_mistake` accepts."""
    if isinstance(error, OSError) and not isinstance(error, MISTAKES):  # some of Hydra's errors are both
        return _disk_full(error)
    text = str(error)
    if isinstance(error, UserError):
        # a loader process wraps the message into its stack trace
        return text.rsplit("UserError: ", 1)[-1].strip()
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is required and has no default: type {error.full_key}=VALUE."
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(match[1], command)
    if match := re.search(r"Could not find '([^']+)'", text):
        return _unknown_choice(match[1], text)
    if match := re.search(r"Cannot find primary config '([^']+)'", text):
        return f"--config-name {match[1]}: there is no {match[1]}.yaml in the folder that --config-dir names."
    if match := re.search(r"In '([^']+)': .*Key '([^']+)' not in '(\w+)'", text, re.DOTALL):
        return _without_schema(*match.groups())
    # Hydra's error names the override, its cause (OmegaConf's error) says what is wrong with the value
    both = f"{text} {error.__cause__}"
    kind = re.search(r"could not be converted to (Integer|Float)|is not a valid (bool)", both)
    if kind and (given := re.search(r"Error merging override (\S+)", text)):
        return f"{given[1]}: it takes {_KINDS[kind[1] or kind[2]]}."
    if match := re.search(r"Error merging override ([^\s=]+)=(\S+)[^$]*is not a ListConfig, list or tuple", both):
        return f"{match[1]}={match[2]}: it takes a list, such as {match[1]}=[{match[2]}]."
    if match := re.search(r"Error merging override (\S+)[^$]*Cannot assign \w+ to Dict", both):
        return f"{match[1]}: it takes a mapping, as {{KEY: VALUE}}, or null."
    lines = [line.strip() for each in (error, error.__cause__) if each for line in str(each).splitlines()]
    told = [line for line in lines if line and not re.match(r"(full_key|object_type|reference_type):", line)]
    return "; ".join(dict.fromkeys(told)) + "."


def _without_schema(file: str, key: str, schema: str) -> str:
    """The message for a config file of the user's own that has a key, but no schema that knows it."""
    kinds = {name: kind for name, kind in SCHEMAS.items() if any(each.__name__ == schema for each in kind.__mro__)}
    known = [name for name, kind in kinds.items() if key in {each.name for each in dataclasses.fields(kind)}]
    return (
        f"{file}.yaml: {key} is not known there. Let the file begin with a line that names its schema, defaults: "
        f"[/schema/NAME@_here_, _self_], where NAME is one of {', '.join(known or kinds) or 'those of its group'}."
    )


def _disk_full(error: OSError) -> str:
    return (
        f"{error.filename or 'a file'} could not be written: {error.strerror}. What was there before is whole. Make "
        "room and give the same command again; with resume=auto a training goes on from its last checkpoint."
    )


def unknown_key(key: str, command: str) -> str:
    """The message for a key that a command does not have."""
    message = known_keys.unknown_key(key, sorted(all_keys(command, sys.argv[1:])))
    return f"{message} To add an argument that it takes: +{key}=VALUE." if key.startswith(_TAKE_ARGUMENTS) else message


def _unknown_choice(name: str, text: str) -> str:
    group, _, choice = name.rpartition("/")
    if group == "hydra/launcher" and choice.split("_")[0] in _EXTRAS:
        return f"this launcher needs a package: pip install 'deeplab_lit[{choice.split('_')[0]}]'."
    first, *rest = group.split("/")
    if first == "experiments" and rest:  # a row of a table
        known = _names(experiments_folder() / "/".join(rest))
        typed = f"{first}={'/'.join(rest)}/{choice}"
        return f"{typed} does not exist: choose one of {', '.join(known) or 'no rows'}.{closest(choice, known)}"
    listed = text.split("Available options in", 1)[-1].split("Config search path", 1)[0].splitlines()[1:]
    options = [line.strip() for line in listed if line.strip()]
    return f"{group}={choice} does not exist: choose one of {', '.join(options)}.{closest(choice, options)}"


def check_words(arguments: list[str], command: str) -> None:
    """Check a command's arguments against its config files and schemas, before Hydra composes the config.

    Raises:
        UserError: a key that the command does not have, or a list or a number in place of a group's choice.
    """
    if any(argument.startswith(("-c", "--config")) and argument not in ("-c", "--cfg") for argument in arguments):
        return  # configs of the user's own may have other keys
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()} | {"experiments"}
    # an experiment or a budget makes further choices, whose keys are not known here
    chooses = any(argument.startswith(("experiments=", "budget=")) for argument in arguments)
    known = {*all_keys(command, arguments), *groups, "hydra"}
    parents = {name.rpartition(".")[0] for name in known}
    for argument in arguments:
        key, is_override, value = argument.partition("=")
        if key.lstrip("+") in _RENAMED:
            raise UserError(_RENAMED[key.lstrip("+")])
        # Hydra fails on a list or a number in place of a group's choice
        if key in groups and re.match(r"\[|[-+.\d]+$|(true|false)$", value, re.IGNORECASE):
            options = ", ".join(_names(conf_folder() / key))
            raise UserError(
                f"{argument}: {key} takes one of {options}; values inside it are set one by one, as {key}.KEY=VALUE."
            )
        if not is_override or not re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)*", key) or key in known:
            continue
        parent = key.rpartition(".")[0]
        if not parent or (parent in parents and not chooses):
            raise UserError(unknown_key(key, command))


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))

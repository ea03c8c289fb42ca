"""Error messages for user errors: what was given, what is possible, what to type."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import re
import sys
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from deeplab_lit.cli.docstrings import arguments_of
from deeplab_lit.cli.reference import all_keys, chosen, keys, keys_of_choices, target_of
from deeplab_lit.config import known_keys
from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder, experiments_folder
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.files import DISK_FULL
from deeplab_lit.utils.homes import existing, wanted_cache

MISTAKES = (UserError, HydraException, OmegaConfBaseException)
"""The classes of user errors, which are shown without a traceback."""

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_OUTPUTS = ("output", "out", "folder")
"""The keys that name a folder or a file of results."""

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
    """True for errors shown without a traceback: user errors, and OSErrors that mean a full disk or a missing right."""
    return isinstance(error, MISTAKES) or (isinstance(error, OSError) and error.errno in (*DISK_FULL, *_FORBIDDEN))


def explain(error: Exception, command: str) -> str:
    """The message for an error that :func:`is_mistake` accepts."""
    if isinstance(error, OSError) and not isinstance(error, MISTAKES):  # some of Hydra's errors are both
        return _forbidden(error, command) if error.errno in _FORBIDDEN else _disk_full(error)
    text = str(error)
    if isinstance(error, UserError):
        # a loader process wraps the message into its stack trace
        return text.rsplit("UserError: ", 1)[-1].strip()
    if isinstance(error, MissingMandatoryValue):
        return _required(str(error.full_key), command)
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(match[1], command)
    if match := re.search(r"Additional config directory '([^']+)' not found", text):
        return f"--config-dir: there is no folder {match[1]}; it holds groups of your own, such as backbone/mine.yaml."
    if match := re.search(r"Could not find '([^']+)'", text):
        return _unknown_choice(match[1], text)
    if match := re.search(r"Cannot find primary config '([^']+)'", text):
        return f"--config-name {match[1]}: there is no {match[1]}.yaml in the folder that --config-dir names."
    if match := re.search(r"In '([^']+)': .*Key '([^']+)' not in '(\w+)'", text, re.DOTALL):
        return _without_schema(*match.groups())
    if match := re.search(r"token recognition error at: ('.+')", str(error.__context__)):
        return _odd_character(re.sub(r"^\w+: |\n.*", "", text, flags=re.DOTALL), match[1])
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


def _odd_character(argument: str, character: str) -> str:
    return (
        f'{argument}: {character} is taken between quotation marks alone: write the word with it as "WORD", and '
        "single quotation marks around the whole argument for the shell."
    )


def _required(key: str, command: str) -> str:
    known = keys_of_choices(chosen(command, sys.argv[1:]))
    meaning = next((each.meaning for group in known.values() for each in group if each.name == key), "")
    return f"{key} is required and has no default: type {key}=VALUE{f' ({meaning})' if meaning else ''}."


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


def _forbidden(error: OSError, command: str) -> str:
    path = Path(error.filename or ".").absolute()
    if path.exists() and not os.access(path, os.R_OK):
        return f"{path} cannot be read: {error.strerror}."
    return f"{existing(path)} cannot be written to ({error.strerror}): {_elsewhere(path, command)}."


def _elsewhere(path: Path, command: str) -> str:
    """What to do about a path of a command that cannot be written."""
    cache = wanted_cache()
    for argument in sys.argv[1:]:
        typed, _, value = argument.partition("=")
        if value and path.is_relative_to(Path(value).expanduser().absolute()):
            return f"type {typed}=PATH with a place that you may write to"
    if cache is not None and path.is_relative_to(cache.absolute()):
        return "set DEEPLAB_LIT_CACHE to a folder that you may write to"
    key = output_key(command)
    return f"type {key}=PATH with a place that you may write to" if key else "give yourself the right to write there"


def output_key(command: str) -> str | None:
    """The key of a command that names where results are written; None if it writes none, or beside what it reads."""
    if command in ("summary", "report", "dashboard"):
        return None
    known = {each.name for each in keys(command)}
    return next((key for key in _OUTPUTS if key in known), None)


def unknown_key(key: str, command: str) -> str:
    """The message for a key that a command does not have."""
    message = known_keys.unknown_key(key, sorted(all_keys(command, sys.argv[1:])))
    if not key.startswith(_TAKE_ARGUMENTS):
        return message
    told = arguments_of(target_of(command, sys.argv[1:], key.partition(".")[0]))
    takes = not told or key.rpartition(".")[2] in told
    return f"{message} To add an argument that it takes: +{key}=VALUE." if takes else message


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
    _check_form(arguments)
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()} | {"experiments"}
    taken = chosen(command, arguments)
    # an experiment, a budget or a recipe makes further choices, whose keys are not known here
    chooses = any(argument.startswith(("experiments=", "budget=", "recipe=")) for argument in arguments)
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
        group, _, inside = key.lstrip("+").partition(".")
        if inside and group in taken and taken[group] in (None, "null") and not chooses:
            options = ", ".join(_names(conf_folder() / group))
            raise UserError(
                f"{argument}: no {group} is chosen that it could be set in: type {group}= one of {options}."
            )
        if not is_override or not re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)*", key) or key in known:
            continue
        parent = key.rpartition(".")[0]
        if not parent or (parent in parents and not chooses):
            raise UserError(unknown_key(key, command))


def _check_form(arguments: list[str]) -> None:
    """Raise UserError for words that are no KEY=VALUE, such as the halves of a list that a space has cut."""
    keys = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))  # options come last
    for word in keys:
        if word.count("[") != word.count("]") or word.count("{") != word.count("}"):
            raise UserError(f"{word}: a list is one word, in quotes and without a shell's spaces: 'KEY=[A,B]'.")
    for word, following in zip(keys, [*keys[1:], "VALUE"], strict=False):
        if word.startswith("="):
            raise UserError(f"{word}: type KEY=VALUE, without spaces.")
        if "=" not in word and not word.startswith("~"):
            value = "VALUE" if "=" in following else following
            raise UserError(f"{word!r} is no KEY=VALUE: type {word}={value}, without spaces.")


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))

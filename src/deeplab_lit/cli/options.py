"""Options of a command line: words that begin with -, which may stand anywhere among the keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deeplab_lit.utils.errors import UserError, closest

_ALONE = ("-h", "--help", "--hydra-help", "--version", "--resolve", "-r", "--run", "-m", "--multirun")
_WITH_A_VALUE = (
    "-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir",
    "-sc", "--shell-completion", "-i", "--info", "--experimental-rerun",
)  # fmt: skip
_SHOWN = ("job", "hydra", "all")  # what --cfg takes


def options_last(arguments: Sequence[str]) -> list[str]:
    """The arguments with their options, and the values of these, behind the keys.

    Hydra's parser refuses keys on both sides of an option.

    Raises:
        UserError: an unknown option, or --cfg with another value than it takes.
    """
    keys, options = [], []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-"):
            keys.append(word)
            continue
        _check(word)
        options.append(word)
        if word in _WITH_A_VALUE and waiting and not waiting[0].startswith("-") and word not in ("-i", "--info"):
            options.append(waiting.pop(0))
        if word in ("-c", "--cfg") and options[-1] not in _SHOWN:
            raise UserError(f"{word} takes job, the config of the command, hydra or all: type {word} job.")
    return [*keys, *options]


def _check(word: str) -> None:
    name = word.partition("=")[0]
    known = [*_ALONE, *_WITH_A_VALUE]
    is_short_for = name.startswith("--") and any(each.startswith(name) for each in known)
    joined = re.fullmatch(r"(-sc|-cp|-cn|-cd|-c|-p|-i)\w.*", word)  # -cjob, which the parser takes apart
    if not (name in known or is_short_for or joined):
        near = "--help" if name.strip("-").lower() in ("h", "?", "help", "usage") else ""
        mend = f" Did you mean {near!r}?" if near else closest(name, [each for each in known if each[:2] == "--"])
        raise UserError(f"{word} is no option.{mend} --help lists keys and options, --hydra-help Hydra's.")

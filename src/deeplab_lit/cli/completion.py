"""Completion of commands, groups, choices and keys in a shell.

It completes commands typed as ``deeplab-lit COMMAND``, ``python -m deeplab_lit COMMAND`` or
``python -m deeplab_lit.COMMAND``. Hydra's own completion supports none of these forms.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.reference import all_keys, choices, groups_of
from deeplab_lit.config.paths import experiments_folder
from deeplab_lit.utils.errors import UserError

_VALUES = {"resume": ["auto"]}
"""Values that are completed of keys outside the groups; the shell completes files beside them."""
_SCRIPT = r"""
_deeplab_lit() {
  COMPREPLY=()
  local line=${COMP_LINE:0:COMP_POINT} word whole i
  if [[ ${COMP_WORDS[0]##*/} == deeplab-lit ]]; then
    whole=("${COMP_WORDS[0]}")
  else
    for ((i = 1; i < COMP_CWORD; i++)); do
      if [[ ${COMP_WORDS[i]} == -m && ${COMP_WORDS[i + 1]} == deeplab_lit.* ]]; then
        whole=("${COMP_WORDS[0]}" -m "${COMP_WORDS[i + 1]}")
      elif [[ ${COMP_WORDS[i]} == -m && ${COMP_WORDS[i + 1]} == deeplab_lit && $COMP_CWORD -gt $((i + 1)) ]]; then
        whole=("${COMP_WORDS[0]}" -m deeplab_lit)
        line="deeplab-lit${line#*-m deeplab_lit}"
      fi
    done
  fi
  [[ -n $whole ]] || return
  word=${line##*[[:space:]]}
  mapfile -t COMPREPLY < <(DEEPLAB_LIT_LINE=$line "${whole[@]}" -sc query=bash 2> /dev/null)
  # the shell completes what stands after the last =
  [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
}
complete -o bashdefault -o default -o nospace -F _deeplab_lit python python3 deeplab-lit
""".strip()


def complete(command: str | None, wanted: str) -> str:
    """The output of ``-sc install=bash`` (the completion script) or ``-sc query=bash`` (the completions of a word).

    The command line to complete is the environment variable ``DEEPLAB_LIT_LINE``.

    Args:
        command: such as ``train``; None for the program ``deeplab-lit``, whose first word is the command.
        wanted: ``install=bash`` or ``query=bash``.

    Raises:
        UserError: ``wanted`` is neither.
    """
    if wanted == "install=bash":
        return _SCRIPT
    if wanted == "query=bash":
        words = os.environ.get("DEEPLAB_LIT_LINE", "").split(" ")
        if command is None:
            first, *words = words[1:] or [""]
            if not words:
                return "\n".join(f"{name} " for name in COMMANDS if name.startswith(first))
            command = first
        return "\n".join(candidates(command, words[:-1], words[-1])) if command in COMMANDS else ""
    raise UserError(f"-sc {wanted} is not known: type -sc install=bash; zsh takes it after autoload bashcompinit.")


def candidates(command: str, before: Sequence[str], word: str) -> list[str]:
    """The completions of the last word of a command line.

    Args:
        command: such as ``train``.
        before: the words before the last one.
        word: the typed part of the last word; keys are completed up to their next dot.
    """
    group, is_override, _ = word.partition("=")
    if is_override:
        names = _names(group) if group in groups_of(command) else _VALUES.get(group, [])
        return [f"{group}={name}" for name in names if f"{group}={name}".startswith(word)]
    words: dict[str, None] = {}
    for key in all_keys(command, before):
        if key.startswith(word):
            rest, dot, _ = key[len(word) :].partition(".")
            words[f"{word}{rest}{dot or '='}"] = None
    return list(words)


def _names(group: str) -> list[str]:
    names = [choice.name for choice in choices(group)]
    if group == "experiments":  # with the rows of tables
        folder = experiments_folder()
        rows = sorted(folder.glob("*/*.yaml"))
        names += [f"{row.parent.name}/{row.stem}" for row in rows if (folder / f"{row.parent.name}.yaml").is_file()]
    return names

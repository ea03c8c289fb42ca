"""Help texts: of the program, of each command, and of each table of the papers."""

from __future__ import annotations

import shutil
import textwrap

from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.reference import about_table, choices, groups_of, keys, rows_of_table

_FLAGS = """\
--cfg job            every key with its value, and nothing else
-m                   a sweep: KEY=A,B or GROUP=A,B runs each combination
-sc install=bash     eval "$(deeplab-lit -sc install=bash)" completes groups, choices and keys of every command
--hydra-help         more flags, Hydra's"""
_PROGRAM = """\
deeplab-lit COMMAND [GROUP=CHOICE ...] [KEY=VALUE ...], or python -m deeplab_lit.COMMAND ...

DeepLab V1 and V2: reproduce the papers' tables, ablate, train on data of your own, refine with the dense CRF."""


def program_text() -> str:
    """The help text of ``deeplab-lit``: every command with its description."""
    lines = [line for name, command in COMMANDS.items() for line in _columns(f"  {name}", command.about, 16)]
    more = "deeplab-lit COMMAND --help     a command's groups, choices and keys, with commands to copy"
    return "\n\n".join([_PROGRAM, "\n".join(lines), more])


def help_text(command: str) -> str:
    """The help text of a command: description, examples, groups with their choices, keys with their meaning."""
    about = COMMANDS[command]
    parts = [f"python -m deeplab_lit.{command}: {about.about}", "\n".join(f"  {each}" for each in examples(command))]
    lines = []
    for group, default in groups_of(command).items():
        lines.append(group)
        for choice in choices(group):
            mark = "*" if choice.name == default else " "
            lines += _columns(f"  {mark} {choice.name}", choice.meaning, 28)
    if lines:
        parts.append("\n".join(["GROUP=CHOICE, * is the default; GROUP.KEY=VALUE sets a value inside it", *lines]))
    lines = []
    for key in keys(command):
        lines += _columns(f"  {key.name}{'=' + key.default if key.default else ''}", key.meaning, 28)
    parts.append("\n".join(["KEY=VALUE, with the default where it does not follow from the choices", *lines]))
    parts.append(_FLAGS)
    return "\n\n".join(parts)


def examples(command: str) -> list[str]:
    """The example command lines of a command."""
    return [f"python -m deeplab_lit.{command} {each}".rstrip() for each in COMMANDS[command].examples]


def table_text(table: str) -> str:
    """The help text of a table of the papers: description, examples, rows with the published mIoU."""
    shows, arguments = about_table(table)
    rows = rows_of_table(table)
    to_copy = [arguments, f"experiments={table} budget=mini", f"experiments={table}/{rows[0].name} budget=mini"]
    parts = [
        f"experiments={table}: {shows}",
        "\n".join(f"  python -m deeplab_lit.train {each}" for each in to_copy),
    ]
    lines = [f"rows, with the published mIoU without / with the CRF; each is experiments={table}/ROW by itself"]
    for row in rows:
        numbers = " / ".join("-" if each is None else f"{each:.2f}" for each in row.published)
        lines += _columns(f"  {row.name:18}{'' if row.published == (None, None) else numbers}", row.notes, 36)
    return "\n\n".join([*parts, "\n".join(lines)])


def _columns(left: str, right: str, place: int) -> list[str]:
    width = max(40, min(120, shutil.get_terminal_size().columns) - place)
    wrapped = textwrap.wrap(right, width) or [""]
    if len(left) >= place:
        return [left, *(" " * place + line for line in wrapped if line)]
    return [f"{left:{place}}{wrapped[0]}".rstrip(), *(" " * place + line for line in wrapped[1:])]

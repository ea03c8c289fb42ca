"""Help texts: of the program, of each command, and of each table of the papers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.cli.reference import Key, about_table, choices, chosen, keys, keys_of_choices, rows_of_table
from deeplab_lit.config.paths import PAPER, sweeper_of
from deeplab_lit.utils.terminal import beside

_FLAGS = {
    "--cfg job": "every key with its value, and nothing else",
    "-m": "a sweep: KEY=A,B or GROUP=A,B runs each combination",
    "-sc install=bash": 'eval "$(deeplab-lit -sc install=bash)" completes groups, choices and keys of every command',
    "--hydra-help": "more flags, Hydra's",
}
_ABOUT_GROUPS = (
    "GROUP=CHOICE, * is taken; below its choices stand the keys of the taken one, GROUP.KEY=VALUE. "
    "python -m deeplab_lit.{command} GROUP=CHOICE --help shows those of another choice."
)
_ABOUT_KEYS = "KEY=VALUE, with the default for these choices unless it is computed; ??? has to be typed"
_PROGRAM = """\
deeplab-lit COMMAND [GROUP=CHOICE ...] [KEY=VALUE ...], or python -m deeplab_lit.COMMAND ...

DeepLab V1 and V2: reproduce the papers' tables, ablate, train on data of your own, refine with the dense CRF."""


def program_text() -> str:
    """The help text of ``deeplab-lit``: every command with its description."""
    lines = [line for name, command in COMMANDS.items() for line in _columns(f"  {name}", command.about, 16)]
    more = "deeplab-lit COMMAND --help     a command's groups, choices and keys, with commands to copy"
    return "\n\n".join([_PROGRAM, "\n".join(lines), more])


def help_text(command: str, arguments: Sequence[str] = ()) -> str:
    """The help text of a command: description, examples, groups with their choices, keys with their meaning.

    Args:
        command: such as ``train``.
        arguments: what is typed beside ``--help``; a group shows the keys of the choice that is typed.
    """
    about, taken = COMMANDS[command], chosen(command, arguments)
    parts = [
        _paragraph(f"python -m deeplab_lit.{command}: {about.about}"),
        "\n".join(line for each in examples(command) for line in _to_copy(each)),
    ]
    if taken:
        parts.append(_paragraph(_ABOUT_GROUPS.format(command=command)))
    inside = keys_of_choices(taken)
    parts += ["\n".join(_group(group, choice, inside[group])) for group, choice in taken.items()]
    lines = [line for key in keys(command, arguments) for line in _key(key, 2)]
    parts.append("\n".join([_paragraph(_ABOUT_KEYS), *lines]))
    parts.append("\n".join(line for flag, does in _FLAGS.items() for line in _columns(f"  {flag}", does, 28)))
    return "\n\n".join(parts)


def _group(group: str, taken: str | None, inside: Sequence[Key]) -> Iterator[str]:
    """The lines of a config group: its name, its choices, the keys of the taken choice."""
    yield group
    for choice in choices(group):
        mark = "*" if choice.name == taken else " "
        yield from _columns(f"  {mark} {choice.name}", choice.meaning, 28)
    for key in inside:
        yield from _key(key, 6)


def _key(key: Key, indent: int) -> list[str]:
    default = f"={key.default}" if key.default else ""
    return _columns(f"{' ' * indent}{key.name}{default}", key.meaning, 28 if indent == 2 else 34)


def examples(command: str) -> list[str]:
    """The example command lines of a command."""
    return [f"python -m deeplab_lit.{command} {each}".rstrip() for each in COMMANDS[command].examples]


def _to_copy(example: str) -> Iterator[str]:
    """An example to copy: its comment, then the command, whose lines end in a backslash where it goes on."""
    words, _, comment = example.partition(" # ")
    if comment:
        yield f"  # {comment}"
    first, *others = beside("", words, 2, _width() - 6)
    yield " \\\n".join([first, *(f"    {line}" for line in others)])


def table_text(table: str) -> str:
    """The help text of a table of the papers: description, examples, rows with the published mIoU.

    Of the experiment that runs all tables, it lists the tables.
    """
    shows, arguments = about_table(table)
    to_copy = [arguments, f"experiments={table} budget=mini"]
    if table == PAPER:
        lines = ["tables; each is experiments=TABLE by itself"]
        for each in sweeper_of(PAPER)["tables"]:
            lines += _columns(f"  {each}", about_table(each)[0], 28)
    else:
        rows = rows_of_table(table)
        to_copy.append(f"experiments={table}/{rows[0].name} budget=mini")
        lines = [f"rows, with the published mIoU without / with the CRF; each is experiments={table}/ROW by itself"]
        for row in rows:
            numbers = " / ".join("-" if each is None else f"{each:.2f}" for each in row.published)
            lines += _columns(f"  {row.name:18}{'' if row.published == (None, None) else numbers}", row.notes, 36)
    commands = "\n".join(f"  python -m deeplab_lit.train {each}" for each in to_copy)
    return "\n\n".join([f"experiments={table}: {shows}", commands, "\n".join(lines)])


def _columns(left: str, right: str, place: int) -> list[str]:
    return beside(left, right, place, _width())


def _paragraph(text: str) -> str:
    return "\n".join(beside("", text, 0, _width()))


def _width() -> int:
    return min(120, shutil.get_terminal_size().columns)

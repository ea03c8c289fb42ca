"""Text for a terminal: tables and labelled lines, of which no word and no cell is cut."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Sequence
from itertools import takewhile
from operator import itemgetter

from rich.cells import cell_len

_GAP = "  "


def output_width() -> int | None:
    """The columns of standard output: ``COLUMNS`` if it is set, else the terminal's; None for a file or a pipe."""
    told = os.environ.get("COLUMNS", "")
    if (told.isdigit() and int(told)) or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def beside(label: str, text: str, place: int, width: int | None) -> list[str]:
    """The lines of a text that stands right of a label, wrapped at spaces.

    Args:
        label: stands on a line of its own if it is longer than ``place``.
        text: the text.
        place: the column at which each line of the text begins.
        width: of the lines, in columns; None: the text is not wrapped.
    """
    room = max(20, width - place) if width else sys.maxsize
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    first = [label] if len(label) >= place > 0 else []
    if not first:
        first, lines = [f"{label:{place}}{lines[0]}".rstrip()], lines[1:]
    return [*first, *(" " * place + line for line in lines if line)]


def paragraph(text: str) -> str:
    """A text wrapped at the spaces, for standard output."""
    return "\n".join(beside("", text, 0, output_width()))


def table(
    titles: Sequence[str],
    lines: Sequence[Sequence[str]],
    texts: Collection[str],
    title: str = "",
    together: Collection[str] = (),
) -> str:
    """A table as text for standard output.

    The columns that do not fit beside the others follow in a further block, which begins with the first column again.
    A column without a title and without values is left out.

    Args:
        titles: of the columns.
        lines: the cells of each line.
        texts: the titles of the columns that are aligned to the left, as the first column is.
        title: of the table.
        together: the titles of neighbouring columns that stand in one block, if a block has room for them.
    """
    columns = [[name, *(line[place] for line in lines)] for place, name in enumerate(titles)]
    columns = [column for column in columns if any(column)]
    padded = [_padded(column, place == 0 or column[0] in texts) for place, column in enumerate(columns)]
    blocks = [
        "\n".join(_GAP.join(cells).rstrip() for cells in zip(*block, strict=True))
        for block in _blocks(padded, together)
    ]
    return "\n\n".join([*([paragraph(title) + "\n" + blocks[0]] if title else blocks[:1]), *blocks[1:]])


def _padded(cells: Sequence[str], left: bool) -> list[str]:
    size = max(map(cell_len, cells))
    return [
        f"{cell}{' ' * (size - cell_len(cell))}" if left else f"{' ' * (size - cell_len(cell))}{cell}" for cell in cells
    ]


def _blocks(columns: Sequence[Sequence[str]], together: Collection[str]) -> list[list[Sequence[str]]]:
    """The columns in groups that fit the output, each with the first column."""
    room = output_width() or sys.maxsize
    sizes = [len(_GAP) + cell_len(column[0]) for column in columns]
    joined = [column[0].strip() in together for column in columns]
    blocks, used = [[columns[0]]], cell_len(columns[0][0])
    for place, column in enumerate(columns[1:], 1):
        needed = sizes[place]
        if joined[place] and not joined[place - 1]:
            needed = sum(size for size, _ in takewhile(itemgetter(1), zip(sizes[place:], joined[place:], strict=True)))
        if used + needed > room and len(blocks[-1]) > 1:
            blocks.append([columns[0]])
            used = cell_len(columns[0][0])
        blocks[-1].append(column)
        used += sizes[place]
    return blocks

"""Work on many files, as a person sees it. Nothing heavy is imported here: a check of a data set needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many files are done and how many there are."""

_console = Console(soft_wrap=True)


@contextmanager
def preparing() -> Iterator[Progress]:
    """Shows work on many files: a bar for each kind of work on a terminal, lines elsewhere."""
    count = TextColumn("{task.completed}/{task.total}")
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    spoke = time.monotonic()
    with Bars(*columns, console=_console, disable=not _console.is_terminal) as bar:

        def report(what: str, done: int, total: int) -> None:
            nonlocal spoke
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
                if not _console.is_terminal:
                    _console.print(what)
            bar.update(tasks[what], completed=done, total=total)
            if not _console.is_terminal and time.monotonic() - spoke > 20:
                spoke = time.monotonic()
                _console.print(f"{what}: {done}/{total}")

        yield report

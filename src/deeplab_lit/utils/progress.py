"""Progress of work on many files, on the screen. The file imports no torch: the check of a data set needs none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]
"""A function of the name of the work, the number of files that are done, and the number of all files."""

_console = Console(soft_wrap=True)


@contextmanager
def preparing() -> Iterator[Progress]:
    """Yield a :data:`Progress` that shows a bar for each kind of work on a terminal, and lines elsewhere."""
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

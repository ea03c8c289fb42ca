"""Terminal output of tables."""

from __future__ import annotations

import sys

from rich.console import Console


def wide_console() -> Console:
    """A console on standard output, wide enough for tables where that is a file or a pipe."""
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)

"""Where tables are printed."""

from __future__ import annotations

import sys

from rich.console import Console


def wide_console() -> Console:
    """Standard output, wide enough for tables where it is a file or a pipe."""
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)

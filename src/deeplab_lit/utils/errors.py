"""Errors that entry points report without a stack trace, and their hints."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """A mistake in the user's input. The text says what was given, what is possible and what to type instead.

    Entry points print the text alone; every other exception keeps its stack trace.
    """


class Interrupted(Exception):
    """A signal stopped the run, which has saved its state.

    Args:
        signum: the number of the signal.
        saved: the text for the user.
    """

    def __init__(self, signum: int, saved: str) -> None:
        super().__init__(saved)
        self.signum = signum


def closest(given: str, allowed: Iterable[str]) -> str:
    """A `` Did you mean 'x'?`` for the nearest of ``allowed``, or an empty string when none is near."""
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def one_a_line(problems: Sequence[str], most: int = 20) -> str:
    """The sentences, one a line; of more than ``most`` those, and the number of the others."""
    rest = [f"({len(problems) - most} more such)"] if len(problems) > most else []
    return "\n".join([*problems[:most], *rest])


def brief(value: object) -> str:
    """A value of a foreign file as Python writes it, in one line and cut where it is long or deep."""
    return _BRIEF.repr(value)


_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict = 3, 4, 6
_BRIEF.maxstring = _BRIEF.maxother = 60


def one_line(error: BaseException) -> str:
    """The text of an error in one line of at most 300 characters; its class if it has no text."""
    return " ".join(str(error).split())[:300] or type(error).__name__

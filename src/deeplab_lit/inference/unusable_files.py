"""Unusable files: what is told of input files that cannot be used, by their reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from deeplab_lit.data.score_files import Contradiction, WrongForm
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_text

Found = TypeVar("Found")
FIRST = 10
"""How many files are looked at before anything is written."""
_TOLD = 3  # reasons in a message
_NUMBERS = re.compile(r"[-+]?\d[\w.+-]*(, [-+]?\d[\w.+-]*)*")


@dataclass(frozen=True)
class Fault:
    """An input file that could not be used.

    Attributes:
        name: the name of its image.
        text: a sentence that names the file.
    """

    name: str
    text: str

    @property
    def reason(self) -> str:
        """The sentence without the file and without numbers, which is equal for files with the same fault."""
        return _NUMBERS.sub("#", re.sub(rf"\S*{re.escape(self.name)}\.\w+", "", self.text))


def look_at_first(files: Mapping[str, Path], read: Callable[[str], Found]) -> list[Found]:
    """Read some of the files, evenly spaced, before anything is written.

    Args:
        files: the input file of each image, by its name.
        read: reads the file of a name; it raises UserError, whose text does not name the file.

    Returns:
        What ``read`` returned of those that can be used.

    Raises:
        UserError: none of them can be used, the keys do not say what the first one holds, or one contradicts the keys.
    """
    names, found, faults = list(files), [], []
    count = min(FIRST, len(names))
    for name in [names[i * len(names) // count] for i in range(count)]:
        try:
            found.append(read(name))
        except UserError as error:
            is_first = isinstance(error, WrongForm) and name == names[0]
            if is_first or isinstance(error, Contradiction):
                raise UserError(f"{files[name]}: {error} Nothing was written.") from error
            faults.append(Fault(name, f"{files[name]}: {error}"))
    if not found:
        refuse_all(faults, len(names))
    return found


def refuse_all(faults: Sequence[Fault], count: int) -> NoReturn:
    """Raise the UserError for files of which none that was looked at can be used; ``count`` is how many there are."""
    raise UserError(f"{_none_of(len(faults), count)}: {_by_reason(faults)} Nothing was written.")


def refuse(faults: Sequence[Fault], count: int, list_file: Path | None = None) -> None:
    """Raise UserError if there are files that could not be used.

    Args:
        faults: those files.
        count: how many there were in all.
        list_file: where all are listed if the message does not name all; a list of an earlier call goes. None: nowhere.
    """
    if list_file is not None:
        list_file.unlink(missing_ok=True)
    if not faults:
        return
    told, whole = _by_reason(faults), ""
    if list_file is not None and len(faults) > len(_groups(faults)[:_TOLD]):
        write_text(list_file, "".join(f"{each.text}\n" for each in faults))
        whole = f" All are listed in {list_file}."
    some = f"{len(faults)} of {count} files could not be used"
    raise UserError(f"{some if len(faults) < count else _none_of(count, count)}: {told}{whole}")


def _none_of(looked_at: int, count: int) -> str:
    if looked_at < count:
        return f"of {count} files {looked_at} were looked at, and none of them can be used"
    return "the file cannot be used" if count == 1 else f"none of the {count} files can be used"


def _groups(faults: Sequence[Fault]) -> list[list[Fault]]:
    """The faults of each reason, the most frequent reason first."""
    groups: dict[str, list[Fault]] = {}
    for each in faults:
        groups.setdefault(each.reason, []).append(each)
    return sorted(groups.values(), key=len, reverse=True)


def _by_reason(faults: Sequence[Fault]) -> str:
    """The first sentence of each reason, and how many files it holds for."""
    groups = _groups(faults)
    told = [f"{each[0].text}{f' ({len(each)} such)' if len(each) > 1 else ''}" for each in groups[:_TOLD]]
    rest = sum(map(len, groups[_TOLD:]))
    return " | ".join(told) + (f" | {rest} others." if rest else "")

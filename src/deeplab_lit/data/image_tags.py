"""Image tags: the classes that are in an image, from a list such as code bases of weak supervision have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from deeplab_lit.data.base import read_list
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.utils.errors import UserError, closest

_ZERO = ("foreground", "background")


def read_tags(given: str, zero_is: str, classes: int) -> dict[str, frozenset[int]]:
    """The foreground classes of each image of a list, whose lines are ``ID 45 49 50``.

    In place of the id may stand the paths of the image and its mask; the id is then the image's file name. An image
    without numbers has no foreground class.

    Args:
        given: the path of the list.
        zero_is: ``"foreground"``, where number 0 means class 1, or ``"background"``, where numbers are class indices.
        classes: how many classes there are, with the background.

    Raises:
        UserError: the list does not exist, names an image twice or has no tags, or a number stands for no class.
    """
    if zero_is not in _ZERO:
        raise UserError(f"tags_zero_is={zero_is}: choose {' or '.join(_ZERO)}.{closest(zero_is, _ZERO)}")
    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(f"tags={path} does not exist: give a text file with a line `ID 45 49 50` for each image.")
    first = 1 if zero_is == "foreground" else 0
    found: dict[str, frozenset[int]] = {}
    for text in read_list(path):
        line = parse_line(text, path)
        id = line.id if line.paths is None else PurePosixPath(line.paths[0]).stem
        if id in found:
            raise UserError(f"{path} names {id!r} twice: each image once.")
        tags = frozenset(number + first for number in line.tags or ())
        if tags and max(tags) >= min(classes, VOID):
            raise UserError(
                f"{path} has the tag {max(tags) - first} of {id!r}, which is class {max(tags)} with tags_zero_is="
                f"{zero_is}: there are {classes} classes, from 0 on."
            )
        found[id] = tags - {0}
    if not any(found.values()):
        raise UserError(f"{path} has no tags: behind each id stand the numbers of its classes, `ID 45 49 50`.")
    return found


def check_tags(tags: dict[str, frozenset[int]], names: Iterable[str], given: str) -> None:
    """Raise UserError if an image has no line in the list of tags ``given``."""
    if absent := [name for name in names if name not in tags]:
        raise UserError(f"tags={given} does not name {absent[0]!r} ({len(absent)} such in all): add their lines.")

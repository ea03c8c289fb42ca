"""Lines of lists: an id or the paths of an image and its mask, with or without the image's tags."""

from __future__ import annotations

from dataclasses import dataclass

from deeplab_lit.utils.errors import UserError


@dataclass(frozen=True)
class ListLine:
    """What a line of a list names.

    Attributes:
        id: the id of the image; empty if the line has paths.
        paths: the paths of the image and its mask, as the lists of the released nets have them; None: the line has an
            id.
        tags: the numbers of the classes in the image, as they stand in the line; None: the line has none.
    """

    id: str
    paths: tuple[str, str] | None
    tags: tuple[int, ...] | None


def parse_line(line: str, where: object) -> ListLine:
    """What ``line`` names: ``ID``, ``IMAGE/PATH MASK/PATH``, or one of the two and the numbers of its classes.

    Two words are paths if both hold a slash. Other words behind the first that are not all numbers belong to the id,
    which may be a file name with spaces.

    Raises:
        UserError: a class occurs twice; the message names ``where``.
    """
    words = line.split()
    start = 2 if len(words) > 1 and all("/" in word for word in words[:2]) else 1
    numbers = words[start:]
    if not all(number.isascii() and number.isdigit() and len(number) < 6 for number in numbers):
        return ListLine(line, None, None)
    tags = tuple(int(number) for number in numbers)
    if len(set(tags)) < len(tags):
        raise UserError(
            f"{where} has a class twice in the line {line[:80]!r}: behind an image stand the indices of its classes, "
            "each once, not a number for each class there is."
        )
    return ListLine(
        "" if start == 2 else words[0], (words[0], words[1]) if start == 2 else None, tags if numbers else None
    )

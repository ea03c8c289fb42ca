"""Class list: names and colours of classes, from a file or from the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deeplab_lit.data.labels import VOID, Colour, LabelSet
from deeplab_lit.data.mask_files import INDICES, MaskCoding, coloured
from deeplab_lit.utils.errors import UserError

_FORM = "give a text file with one class a line, `name` or `name R G B`, or the names, such as [background,crack]"
_CVAT = re.compile(r"(.+?):(\d{1,8}),(\d{1,8}),(\d{1,8})(?::[^:]*){0,2}")  # name:R,G,B:parts:actions
_COLOURED = re.compile(r"(.+?) (\d{1,8}) (\d{1,8}) (\d{1,8})")
_BACKGROUNDS = ("background", "_background_")  # the second is labelme's name
_IGNORED = "__ignore__"  # labelme's name of void, the first line of its label lists
_NUMBERED = re.compile(r"(\d{1,8})(?: ?: ?| )(.+)")


@dataclass(frozen=True)
class _Line:
    text: str  # without the colour
    colour: Colour | None
    value: int | None  # the number before the name
    name: str  # without that number


def read_class_list(given: object) -> tuple[LabelSet, MaskCoding]:
    """The label set of a class list, and how masks of these classes are coded.

    The list has one class a line in the order of the mask values: ``name`` or ``name R G B``, or a line of CVAT's
    labelmap.txt. Each line may begin with the mask value of its class, ``0 name`` or ``0: name``. A line with the value
    255, such as ``255 void 0 0 0``, gives the colour of void, and so does the line ``__ignore__`` of labelme's lists,
    without a colour. What follows ``#`` is a comment.

    Args:
        given: the path of a text file, or a sequence of lines.

    Raises:
        UserError: the file is missing, ``given`` is neither a path nor texts, or a line is not of these forms.
    """
    where, lines = _lines(given)
    void = next((line.colour for line in lines if line.value == VOID), None)
    classes = _in_order([line for line in lines if line.value != VOID], where)
    colours = tuple(colour for _, colour in classes if colour)
    bare = [name for name, colour in classes if not colour]
    if colours and bare:
        raise UserError(f"{where}: {bare[0]!r} has no colour but others have; give all or none.")
    try:
        labels = LabelSet(tuple(name for name, _ in classes), colours)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return labels, coloured(labels, void) if colours else INDICES


def beside(given: str | Path | Sequence[str], root: Path) -> str | Path | Sequence[str]:
    """A class list, or the file of that path below ``root`` if it exists there alone."""
    if not isinstance(given, (str, Path)) or Path(given).expanduser().is_file():
        return given
    return root / given if (root / given).is_file() else given


def label_values(given: object) -> tuple[dict[str, int], int | None]:
    """The mask value of each label that a region of an annotation may have, and that of the pixels outside all regions.

    The value of a label is the index of its class, or 255 for ``__ignore__`` and for the names of lines with the value
    255. Pixels outside all regions are the class ``background``, which labelme calls ``_background_``. Without such a
    class they are void if the list has a line for void, and otherwise None.

    Raises:
        UserError: as :func:`read_class_list`.
    """
    where, lines = _lines(given)
    of_void = {line.name for line in lines if line.value == VOID}
    values = dict.fromkeys([_IGNORED, *of_void], VOID)
    classes = _in_order([line for line in lines if line.value != VOID], where)
    values |= {name: index for index, (name, _) in enumerate(classes)}
    outside = next((values[name] for name in _BACKGROUNDS if name in values), None)
    if outside is not None:
        values = dict.fromkeys(_BACKGROUNDS, outside) | values
    return values, VOID if outside is None and of_void else outside


def classes_of(given: str | None) -> tuple[LabelSet, MaskCoding]:
    """As :func:`read_class_list`; None: VOC's 21 classes, whose masks hold indices."""
    return (LabelSet.voc(), INDICES) if given is None else read_class_list(given)


def labels_of(given: str | None) -> LabelSet:
    """The label set of a class list; None: 255 numbered classes in VOC's colours.

    Raises:
        UserError: as :func:`read_class_list`.
    """
    if given is not None:
        return read_class_list(given)[0]
    return LabelSet(("background", *(f"class {number}" for number in range(1, VOID))))


def _lines(given: object) -> tuple[str, list[_Line]]:
    where, texts = _texts(given)
    return where, [_parsed(text, f"{where}, line {number}") for number, text in texts]


def _texts(given: object) -> tuple[str, list[tuple[int, str]]]:
    """What messages call the list, and its numbered lines without comments, empty lines and doubled spaces."""
    if isinstance(given, (str, Path)):
        path = Path(given).expanduser()
        where = f"class list {path}"
        if not path.is_file():
            raise UserError(f"{where} {'is a folder' if path.is_dir() else 'does not exist'}: {_FORM}.")
        try:
            content = path.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows begin with a BOM
        except UnicodeDecodeError as error:
            raise UserError(f"{where} is not a text file of UTF-8 ({error}): save it as one.") from error
    elif isinstance(given, Sequence) and all(isinstance(each, str) for each in given):
        content, where = list(given), f"data.classes=[{', '.join(given)}]"
    else:
        raise UserError(f"data.classes={given} is no class list: {_FORM}.")
    bare = [(number, " ".join(line.split("#", 1)[0].split())) for number, line in enumerate(content, 1)]
    return where, [(number, text) for number, text in bare if text]


def _parsed(text: str, where: str) -> _Line:
    colour = None
    if match := _CVAT.fullmatch(text) or _COLOURED.fullmatch(text):
        text, (red, green, blue) = match[1], (int(match[channel]) for channel in (2, 3, 4))
        if max(red, green, blue) > 255:
            raise UserError(f"{where}: a colour is three numbers from 0 to 255, not {red}, {green}, {blue}.")
        colour = red, green, blue
    if text == _IGNORED:
        return _Line(text, colour, VOID, text)
    if match := _NUMBERED.fullmatch(text):
        return _Line(text, colour, int(match[1]), match[2])
    return _Line(text, colour, None, text)


def _in_order(lines: Sequence[_Line], where: str) -> list[tuple[str, Colour | None]]:
    """Name and colour of each class, in the order of the mask values.

    A number before a name is a mask value if each line has one. Otherwise it belongs to the name.
    """
    given = {line.value: line for line in lines if line.value is not None}
    if not lines or any(line.value is None for line in lines):
        return [(line.text, line.colour) for line in lines]
    if sorted(given) != list(range(len(lines))):
        raise UserError(
            f"{where} begins each line with a number, which is then the mask value of the class: give each value from "
            f"0 to {len(lines) - 1} once, and 255 to void, or no numbers."
        )
    return [(given[value].name, given[value].colour) for value in sorted(given)]

"""Image tags: the classes that are in an image, from a list or a dict such as code bases of weak supervision have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from deeplab_lit.data.array_files import ENDINGS, read_arrays
from deeplab_lit.data.base import read_list
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.utils.errors import UserError, closest

_ZERO = ("foreground", "background")
_MOST = 1 << 28  # bytes; the vectors of COCO's 82,081 images have 26 MB
_MOST_STEPS = 5_000_000  # a vector needs 30
_FORM = "give a dict from ids to vectors of 0 and 1"


def read_tags(given: str, zero_is: str, classes: int) -> dict[str, frozenset[int]]:
    """The foreground classes of each image of a list, whose lines are ``ID 45 49 50``, or of a dict of vectors.

    In a list, in place of the id may stand the paths of the image and its mask; the id is then the image's file name.
    An image without numbers has no foreground class. A dict, in a .npy, .pkl or .pt file, has a vector of 0 and 1 for
    each id, such as cls_labels.npy of PSA and IRN; the digits of an id of VOC, 2007000032, are an id too.

    Args:
        given: the path of the file.
        zero_is: ``"foreground"``, where number 0, the first of a vector, means class 1, or ``"background"``, where
            numbers are class indices.
        classes: how many classes there are, with the background.

    Raises:
        UserError: the file does not exist, names an image twice or has no tags, or a number stands for no class.
    """
    if zero_is not in _ZERO:
        raise UserError(f"tags_zero_is={zero_is}: choose {' or '.join(_ZERO)}.{closest(zero_is, _ZERO)}")
    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(f"tags={path} does not exist: give a text file with a line `ID 45 49 50` for each image.")
    first = 1 if zero_is == "foreground" else 0
    numbers = _of_dict(path, classes - first) if path.suffix in ENDINGS else _of_list(path)
    found: dict[str, frozenset[int]] = {}
    for id, given_numbers in numbers.items():
        tags = frozenset(number + first for number in given_numbers)
        if tags and max(tags) >= min(classes, VOID):
            raise UserError(
                f"{path} has the tag {max(tags) - first} of {id!r}, which is class {max(tags)} with tags_zero_is="
                f"{zero_is}: there are {classes} classes, from 0 on; of more give the class list, classes=FILE."
            )
        found[id] = tags - {0}
    if not any(found.values()):
        raise UserError(f"{path} has no tags: behind each id stand the numbers of its classes, `ID 45 49 50`.")
    return found


def _of_list(path: Path) -> dict[str, Sequence[int]]:
    found: dict[str, Sequence[int]] = {}
    for text in read_list(path):
        line = parse_line(text, path)
        id = line.id if line.paths is None else PurePosixPath(line.paths[0]).stem
        if id in found:
            raise UserError(f"{path} names {id!r} twice: each image once.")
        found[id] = line.tags or ()
    return found


def _of_dict(path: Path, length: int) -> dict[str, Sequence[int]]:
    """The places of the ones in the vector of each id; ``length`` is how many classes are numbered."""
    try:
        content = read_arrays(path, _MOST, _MOST_STEPS)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: it holds no dict from ids to vectors of 0 and 1, nor is it a list of `ID 45 49 50`.")
    vectors = {_id(key): _vector(value, f"{str(key)[:80]!r}", path) for key, value in content.items()}
    lengths = sorted({len(each) for each in vectors.values()})
    if len(lengths) > 1:
        raise UserError(f"{path} has vectors of {lengths[0]} and of {lengths[1]} numbers: all have one for each class.")
    if lengths and lengths != [length]:
        other = "background" if lengths[0] > length else "foreground"
        known = f"type tags_zero_is={other}" if abs(lengths[0] - length) == 1 else "give the class list, classes=FILE"
        raise UserError(f"{path} has vectors of {lengths[0]} numbers for {length} classes: {known}.")
    return {id: np.flatnonzero(each).tolist() for id, each in vectors.items()}


def _id(key: str | int) -> str:
    """The id of a key; IRN leaves out the underscore of VOC's."""
    return f"{key // 10**6}_{key % 10**6:06}" if isinstance(key, int) and 10**9 <= key < 10**10 else str(key)


def _vector(value: Any, key: str, path: Path) -> Any:
    if not isinstance(value, (np.ndarray, list, tuple)):
        raise UserError(f"{path}: {key} has a {type(value).__name__}: {_FORM}.")
    try:
        vector = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {key} has no vector of numbers: {_FORM}.") from error
    if vector.ndim != 1:
        raise UserError(f"{path}: {key} has an array of shape {vector.shape}: {_FORM}.")
    if wrong := [each for each in vector.tolist() if each not in (0, 1)]:
        raise UserError(f"{path} holds {wrong[0]:g} for {key}: a vector of tags holds 0 and 1.")
    return vector


def check_tags(tags: dict[str, frozenset[int]], names: Iterable[str], given: str) -> None:
    """Raise UserError if an image has no line in the list of tags ``given``."""
    if absent := [name for name in names if name not in tags]:
        raise UserError(f"tags={given} does not name {absent[0]!r} ({len(absent)} such in all): add their lines.")

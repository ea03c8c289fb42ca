"""Score files: maps of classes that networks and code bases of weak supervision save, one file for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.data.array_files import ENDINGS, read_arrays
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.mask_scores import read_mask_scores
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError, closest

_VALUES = ("probabilities", "logits")
_ZERO = ("background", "foreground")
_KINDS = (np.uint8, np.float16, np.float32, np.float64)
_NAMES = ("probabilities", "msc_seg", "msc_segs", "segs", "attn_highres", "high_res", "cam")
"""Names of arrays in dicts; where a file holds several of them, the first is read."""


class WrongForm(UserError):
    """The keys do not say what a file holds, so that they are most likely wrong for all files of its folder."""


class Contradiction(WrongForm):
    """A file shows that the keys are wrong, which other files of its folder may fit by chance."""


@dataclass(frozen=True)
class ScoreMaps:
    """The maps of a score file.

    Attributes:
        classes: the class index of each map; 0 is the background.
        maps: float32 (len(classes), h, w), at the resolution of the file.
        rounding: the largest error that the type of the file's numbers makes, relative to the largest probability.
        indexed: the file says which classes its maps are of; maps of other classes are not in it.
    """

    classes: tuple[int, ...]
    maps: Floats
    rounding: float
    indexed: bool


def check_form(form: ScoreFilesConfig) -> None:
    """Raise UserError if a key that says what score files hold has none of its values."""
    for key, given, allowed in (("values", form.values, _VALUES), ("zero_is", form.zero_is, _ZERO)):
        if given not in allowed and not (key == "zero_is" and given is None):
            raise UserError(f"{key}={given}: choose {' or '.join(allowed)}.{closest(str(given), allowed)}")


def find_scores(given: str, key: str = "probabilities") -> dict[str, Path]:
    """The score files in a folder and all folders below it, by their names without ending; masks where none is there.

    Raises:
        UserError: there is none, or two files have the same name.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={folder} is not a folder: give one that holds NAME.npy or NAME.npz.")
    found: dict[str, Path] = {}
    files = [each for ending in ENDINGS for each in folder.rglob(f"*{ending}")] or folder.rglob("*.png")
    for file in sorted(files):
        if file.name.startswith("."):  # left by a process that was killed while it wrote
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {file} are both probabilities of {name}: take one away.")
        found[name] = file
    if not found:
        raise UserError(f"{key}={folder} holds no {', '.join(ENDINGS)} or .png file.")
    return found


def read_scores(path: Path, size: tuple[int, int], form: ScoreFilesConfig) -> ScoreMaps:
    """The maps of a score file, whose numbers are not looked at but for NaN.

    The file holds an array (C, h, w) or (1, C, h, w) of all classes, in a dict under one of the known names or that of
    ``form.array``; or a dict of ``keys``, the indices of some classes, and such a name with the maps (K, h, w) of them;
    or a dict from class indices to maps (h, w). Numbers are float16, float32, float64, or uint8 from 0 to 255, which
    becomes 0 to 1. A .png file is a mask (:func:`deeplab_lit.data.mask_scores.read_mask_scores`).

    Args:
        path: the file.
        size: (H, W) of the image; an array (H, W, C) of all classes is transposed.
        form: what the user says about the file.

    Raises:
        UserError: the file is no such file, or its maps have another aspect ratio than the image; the message does not
            name the file. A WrongForm: the form does not say what the file holds.
    """
    if path.suffix == ".png":
        return ScoreMaps(*read_mask_scores(path, size, form.confidences), 0.0, True)
    if form.confidences is not None:
        raise WrongForm(f"confidences={form.confidences} belongs to masks, NAME.png, and it is none: leave it out.")
    content = read_arrays(path, _most(size))
    if not isinstance(content, Mapping):
        return _scores(_all_classes(content, size), None, size, form)
    if all(type(key) is int for key in content):
        return _scores(_stacked(content, size), list(content), size, form)
    name = _chosen(content, form.array)
    if "keys" in content:
        return _scores(content[name], _indices(content["keys"]), size, form)
    return _scores(_all_classes(content[name], size), None, size, form)


def _most(size: tuple[int, int]) -> int:
    """The bytes that the scores of an image can need: float64 of all classes, and what is around the numbers."""
    return size[0] * size[1] * VOID * 8 + 4096


def _chosen(content: Mapping[Any, Any], array: str | None) -> str:
    """The name of the array to read."""
    held = ", ".join(str(key)[:40] for key in list(content)[:8] if type(key) is str) or "nothing"
    if array is not None:
        if array not in content:
            raise WrongForm(f"it holds {held}, not array={array}.{closest(array, [str(key) for key in content])}")
        return array
    for name in _NAMES:
        if name in content:
            return name
    raise WrongForm(f"it holds {held}: say which of them is the array of scores, array=NAME.")


def _indices(keys: Any) -> list[int]:
    found = keys.tolist() if isinstance(keys, np.ndarray) and keys.size <= VOID else keys
    if not isinstance(found, (list, tuple)) or not all(type(each) in (int, float) and each % 1 == 0 for each in found):
        raise UserError("its keys are no list of whole numbers: they are the indices of the classes of its maps.")
    return [int(each) for each in found]


def _stacked(content: Mapping[int, Any], size: tuple[int, int]) -> NDArray[Any]:
    if not content:
        return np.zeros((0, 1, 1), np.float32)
    maps = list(content.values())
    first = maps[0]
    if not all(isinstance(each, np.ndarray) and each.ndim == 2 for each in maps) or any(
        each.shape != first.shape or each.dtype != first.dtype for each in maps
    ):
        raise UserError(
            "it is a dict from numbers to what are not maps of one size: give {class index: array (h, w), ...}."
        )
    if len(maps) * first.nbytes > _most(size):  # the maps may be one array, under many indices
        raise UserError(f"it has {len(maps) * first.nbytes} bytes, more than its image can need.")
    return np.stack(maps)


def _all_classes(array: Any, size: tuple[int, int]) -> Any:
    """An array (C, h, w) of one that may also be (1, C, h, w) or (H, W, C)."""
    if not isinstance(array, np.ndarray):
        return array
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[1:] != size and array.shape[:2] == size:
        array = array.transpose(2, 0, 1)
    return array


def _scores(maps: Any, indices: Sequence[int] | None, size: tuple[int, int], form: ScoreFilesConfig) -> ScoreMaps:
    if not isinstance(maps, np.ndarray) or maps.ndim != 3 or maps.dtype.newbyteorder("=") not in _KINDS:
        what = f"{maps.dtype} {maps.shape}" if isinstance(maps, np.ndarray) else f"a {type(maps).__name__}"
        one = f"; one map alone is array[None], of shape (1, {maps.shape[0]}, {maps.shape[1]})" if _is_map(maps) else ""
        raise UserError(f"it is {what}: give (C, H, W), float16, float32, float64 or uint8{one}.")
    if maps.shape[0] and not _fits(maps.shape[1:], size):
        raise UserError(
            f"it is {maps.shape} for an image of {size}: give (C, H, W), or smaller maps of the whole image, which "
            "have its aspect ratio; cut off what was padded."
        )
    classes = _classes(indices, len(maps), form.zero_is)
    if maps.nbytes > _most(size):
        raise UserError(f"it has {maps.nbytes} bytes, more than its image can need.")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused
        scaled = maps.astype(np.float32) / np.float32(255 if maps.dtype == np.uint8 else 1)
    if not np.isfinite(scaled).all():
        raise UserError(
            "it holds NaN or infinity, which it must not: save it anew; most often it is a map of zeros divided by its "
            "maximum, to which 1e-5 is added first."
        )
    # eight bits round each class by up to half a step
    rounding = 0.5 / 255 if maps.dtype == np.uint8 else 0.0
    return ScoreMaps(classes, scaled, rounding, indices is not None)


def _is_map(given: Any) -> bool:
    return isinstance(given, np.ndarray) and given.ndim == 2


def _fits(found: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether maps of this height and width may be of an image of ``size``, both divided by one number and rounded."""
    steps = [(side / (n + 1), side / (n - 1) if n > 1 else np.inf) for n, side in zip(found, size, strict=True)]
    return 0 not in found and max(low for low, _ in steps) < min(high for _, high in steps)


def _classes(indices: Sequence[int] | None, count: int, zero_is: str | None) -> tuple[int, ...]:
    """The class index of each of ``count`` maps, 0 for the background."""
    if indices is not None and zero_is is None:
        raise WrongForm(
            "its maps have class indices: type zero_is=background if 0 is the background (SEAM's after its CRF). Where "
            "0 is the first foreground class (CAMs of IRN, CLIP-ES, SEAM, MCTformer), there is no background: make "
            "masks with the command pseudo."
        )
    first = 1 if zero_is == "foreground" else 0
    found = [index + first for index in (range(count) if indices is None else indices)]
    if len(found) != count:
        raise UserError(f"it has {count} maps for {len(found)} class indices: each map has one.")
    if found and not 0 <= min(found) <= max(found) < VOID:
        low, high = (min(max(end(found), -(10**6)), 10**6) for end in (min, max))
        raise UserError(f"it has classes from {low} to {high}: they are numbered from 0 to 254, since 255 is void.")
    if len(set(found)) < count:
        raise UserError(f"it has two maps of one class (indices {', '.join(map(str, indices or ()))}).")
    return tuple(found)

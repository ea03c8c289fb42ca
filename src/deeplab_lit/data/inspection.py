"""Inspection of a whole data set: bad files, class counts, and images that occur twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.data.base import Layout
from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.drawing import shown
from deeplab_lit.data.image_files import FORMATS, pictures_below
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.data.mask_files import MaskCoding, read_mask
from deeplab_lit.data.palettes import REORDERED, REORDERED_MEANS, palette_kind
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.data.unseen_classes import unseen
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress

_SIDE = 32  # pixels a side of the thumbnails that are compared
ALIKE = 0.98
"""Least correlation of the thumbnails of two images that count as one photograph, resized or saved again."""


_Job = tuple[str, Path, Path | None]


@dataclass(frozen=True)
class _Look:
    """The findings on one example."""

    problems: tuple[str, ...] = ()
    size: tuple[int, int] | None = None  # (height, width)
    counts: NDArray[np.int64] | None = None  # pixels of each mask value
    palette: str = ""
    mode: str = ""
    digest: bytes = b""
    thumbnail: Bytes | None = None


@dataclass
class SplitReport:
    """The findings on one split.

    Attributes:
        images: the number of images that the split lists.
        bad: one sentence for each fault of a file.
        sizes: the number of images of each (height, width).
        pixels: pixels of each class (C,), without void.
        appears: the number of images that contain each class (C,).
        void: the share of void among all pixels.
        palettes, modes: the number of masks with each kind of palette, and of images in each mode.
    """

    images: int
    bad: list[str]
    sizes: Counter[tuple[int, int]]
    pixels: NDArray[np.int64]
    appears: NDArray[np.int64]
    void: float
    palettes: Counter[str]
    modes: Counter[str]


@dataclass
class Report:
    """The findings of :func:`inspect`.

    Attributes:
        splits: the findings on each split, by name.
        findings: sentences on what is no fault of one file, such as a class that no training mask holds.
        shared: pairs of places of the same image. Images of two splits are the same if their pixels are equal or their
            thumbnails correlate (:data:`ALIKE`), images of one split if their pixels are equal.
        elsewhere: pairs of a place in the data set and a file in the folder ``against``, by the rule for two splits;
            None without ``against``.
    """

    splits: dict[str, SplitReport]
    findings: list[str] = field(default_factory=list)
    shared: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: list[tuple[str, str]] | None = None

    @property
    def bad(self) -> list[str]:
        """The faults of both splits, one sentence each."""
        return [sentence for split in self.splits.values() for sentence in split.bad]


def inspect(source: Layout, progress: Progress | None = None, against: Path | None = None) -> Report:
    """Read every file of both splits, on all cores.

    Args:
        source: the data set.
        progress: told how many files are done.
        against: a folder of images of another data set, which are compared with those of ``source``.

    Raises:
        UserError: a list is missing, empty or names a file twice; ``against`` is not a folder with images.
    """
    others = _pictures_in(against, source.pixels != RGB) if against is not None else []
    splits, looks, places = {}, {}, {}
    for name in ("train", "val"):
        split = source.listing(name)
        missing = set(split.missing())
        jobs: list[_Job] = [
            (id, image, mask)
            for id, image, mask in zip(split.ids, split.images, split.masks, strict=True)
            if not {image, mask} & missing
        ]
        look = partial(_look, source.labels, split.coding, source.pixels)
        found = list(spread(look, jobs, f"reading {name}", progress))
        absent = [f"{file} does not exist, but {split.listed_in} lists it." for file in sorted(missing)]
        if absent:
            absent[-1] += f" For all such: {source.mend}."
        splits[name] = _summary(len(split), absent, found, len(source.labels))
        looks[name] = [each for each in found if each.thumbnail is not None]
        places[name] = [f"{name} {job[0]}" for job, each in zip(jobs, found, strict=True) if each.thumbnail is not None]
    report = Report(splits, list(_findings(looks["train"], splits, source)))
    report.shared = sorted({
        pair
        for a, b in (("train", "val"), ("train", "train"), ("val", "val"))
        for pair in _same(looks[a], places[a], looks[b], places[b], only_exact=a == b)
    })  # fmt: skip
    if others:
        theirs = list(
            spread(partial(_look, source.labels, source.coding, source.pixels), others, f"reading {against}", progress)
        )
        seen = [(each, str(job[1])) for job, each in zip(others, theirs, strict=True) if each.thumbnail is not None]
        mine = [*looks["train"], *looks["val"]]
        report.elsewhere = sorted(
            _same(mine, [*places["train"], *places["val"]], [look for look, _ in seen], [path for _, path in seen])
        )
    return report


def _pictures_in(folder: Path, arrays: bool) -> list[_Job]:
    if not folder.is_dir():
        raise UserError(f"against={str(folder)!r} is not a folder: give one that holds images.")
    jobs: list[_Job] = [(file.stem, file, None) for file in pictures_below(folder, arrays)]
    if not jobs:
        raise UserError(f"against={str(folder)!r} holds no image: give a folder with some, in itself or below.")
    return jobs


def _look(labels: LabelSet, coding: MaskCoding, pixels: PixelFormat, job: _Job) -> _Look:
    """Read one example and return the findings on it; without a mask, those on the image alone."""
    _, image_path, mask_path = job
    problems: list[str] = []
    mask = None
    if mask_path is not None:
        try:
            mask = read_mask(mask_path, coding)
        except UserError as error:
            problems.append(str(error))
    try:
        image = read_pixels(image_path, pixels, None if mask is None else (mask.shape[0], mask.shape[1]))
    except UserError as error:
        return _Look((*problems, str(error)))
    mode = _mode(image_path, image) if pixels == RGB else f"with {pixels}"
    small = np.asarray(Image.fromarray(shown(image)).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX))
    digest = hashlib.sha256(image.tobytes() + str(image.shape).encode()).digest()
    counts = None
    if mask is not None:
        counts = np.bincount(mask.ravel(), minlength=256)
        problems += _mask_problems(mask, counts, image, image_path, mask_path, labels)
    size = (image.shape[0], image.shape[1])
    palette = "" if mask_path is None or counts is None else palette_kind(mask_path, labels, coding, counts)
    return _Look(tuple(problems), size, counts, palette, mode, digest, small)


def _mask_problems(
    mask: Bytes, counts: NDArray[np.int64], image: Pixels, image_path: Path, mask_path: Path | None, labels: LabelSet
) -> Iterator[str]:
    if image.shape[:2] != mask.shape:
        yield (
            f"{image_path} is {image.shape[1]}x{image.shape[0]} but its mask {mask_path} is "
            f"{mask.shape[1]}x{mask.shape[0]}."
        )
    wrong = [int(value) for value in np.flatnonzero(counts[:VOID]) if value >= len(labels)]
    if wrong:
        yield (
            f"{mask_path} has the value(s) {', '.join(map(str, wrong))}, but there are {len(labels)} classes: "
            "add their lines to data.classes=, or make them 255, void."
        )
    if counts[:VOID].sum() == 0:
        yield f"{mask_path} is void everywhere."


def _mode(path: Path, image: Pixels) -> str:
    try:
        with Image.open(path, formats=FORMATS) as file:
            return file.mode + (" turned by EXIF" if (file.height, file.width) != image.shape[:2] else "")
    except (OSError, Image.DecompressionBombError):  # read by OpenCV
        return "RGB of another kind"


def _findings(train: Sequence[_Look], splits: Mapping[str, SplitReport], source: Layout) -> Iterator[str]:
    counts = [each.counts for each in train if each.counts is not None]
    if counts and (sentence := unseen(np.sum(counts, 0), source.labels, f"the {len(counts)} training masks")):
        yield sentence
    if moved := sum(split.palettes[REORDERED] for split in splits.values()):
        yield (f"{moved} mask(s) {REORDERED_MEANS}")


def _summary(images: int, absent: Sequence[str], looks: Sequence[_Look], num_classes: int) -> SplitReport:
    counts = np.array([each.counts for each in looks if each.counts is not None], np.int64).reshape(-1, 256)
    pixels = counts.sum(0)
    return SplitReport(
        images,
        [*absent, *_counted(problem for each in looks for problem in each.problems)],
        Counter(each.size for each in looks if each.size),
        pixels[:num_classes],
        (counts[:, :num_classes] > 0).sum(0),
        float(pixels[VOID] / max(1, pixels.sum())),
        Counter(each.palette for each in looks if each.palette),
        Counter(each.mode for each in looks if each.mode),
    )


def _counted(problems: Iterable[str]) -> list[str]:
    """The sentences; one that names no file, such as on the class list, once with its number."""
    return [f"{text} ({count} files)" if count > 1 else text for text, count in Counter(problems).items()]


def _same(
    left: Sequence[_Look], left_places: Sequence[str], right: Sequence[_Look], right_places: Sequence[str],
    only_exact: bool = False,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Pairs of places whose images have equal pixels or, unless ``only_exact``, correlated thumbnails."""
    where: dict[bytes, list[str]] = {}
    for look, place in zip(right, right_places, strict=True):
        where.setdefault(look.digest, []).append(place)
    exact = set()
    for look, place in zip(left, left_places, strict=True):
        # within one split: each pair once, and no image with itself
        exact |= {(place, other) for other in where.get(look.digest, ()) if not only_exact or place < other}
    yield from exact
    if only_exact or not left or not right:
        return
    mine, theirs = _standardised(left), _standardised(right)
    for start in range(0, len(mine), 1024):
        rows, columns = np.nonzero(mine[start : start + 1024] @ theirs.T >= ALIKE)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            pair = left_places[start + row], right_places[column]
            if pair not in exact:
                yield pair


def _standardised(looks: Sequence[_Look]) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = np.array([each.thumbnail for each in looks], np.float32).reshape(len(looks), -1)
    flat -= flat.mean(1, keepdims=True)
    # an image of one colour has the norm 0 and correlates with no image
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3)
    return flat

"""Base class of the data sets whose images and masks are files, and the reading of their lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deeplab_lit.data.channel_statistics import Statistics, checked_statistics
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.data.mask_files import INDICES, MaskCoding
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError, closest


@dataclass(frozen=True)
class Entry:
    """The id, the image file and the mask file of one example, and its tags if the list has some."""

    id: str
    image: Path
    mask: Path
    tags: tuple[int, ...] | None = None


class Layout:
    """Base class of a data set whose images and masks are files.

    A subclass defines ``labels``, ``root`` and :meth:`entries`, ``coding`` if its masks may be other than index masks,
    and calls :meth:`take_channels` if its images may be other than RGB bytes. It may define :meth:`entry_of`, and
    ``prepare(progress)``, which writes the files that are needed once. Several processes may call ``prepare`` at once,
    and it continues where a killed process stopped.

    Args:
        train_masks: a folder with ID.png for each training example, used instead of the data set's own masks, such as
            pseudo-labels; None: the data set's own masks. Their pixel values are class indices, also where the data
            set's own masks hold other numbers (``coding.values``).
        train_list: a text file with the training examples to use, one a line (see
            :func:`deeplab_lit.data.list_lines.parse_line`); None: all.
        val_list: such a file with the examples to evaluate on; None: all.

    Raises:
        UserError: ``train_masks`` is not a folder, or a list is not a file.
    """

    labels: LabelSet
    root: Path
    coding: MaskCoding = INDICES
    pixels: PixelFormat = RGB
    mean: Statistics = None
    std: Statistics = None
    list_key = "data.train_list"
    """The key that names a list of training examples."""
    mend = "add what is missing or take it off the list"  # what to do about missing files

    def __init__(
        self,
        train_masks: str | Path | None = None,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
    ) -> None:
        given = {"train": train_list, "val": val_list}
        self._own_lists = {name: Path(path).expanduser() for name, path in given.items() if path is not None}
        for name, path in self._own_lists.items():
            if not path.is_file():
                raise UserError(f"data.{name}_list={given[name]} does not exist: give a text file with one id a line.")
        self.train_masks = None if train_masks is None else Path(train_masks).expanduser()
        if self.train_masks is not None and not self.train_masks.is_dir():
            raise UserError(
                f"data.train_masks={str(train_masks)!r} is not a folder: give one that holds ID.png for each "
                "training image."
            )

    def take_channels(self, channels: int, bits: int, mean: Statistics, std: Statistics) -> None:
        """Take the format and the statistics of the images from the keys of the same names.

        Args:
            channels, bits: the format of all images; see :class:`PixelFormat`.
            mean, std: of each channel, or of each beyond the third, in units of the files' values; ``"measured"`` over
                the training images; or None. See :func:`deeplab_lit.data.data_normalization.of_data`.

        Raises:
            UserError: a value is not possible.
        """
        self.pixels = PixelFormat.chosen(channels, bits)
        self.mean, self.std = checked_statistics(mean, std, self.pixels)

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        """The file or folder that lists ``"train"`` or ``"val"``, for messages, and the entry of each example.

        Whether the files of the examples exist is not checked.
        """
        raise NotImplementedError

    def listing(self, name: str) -> Split:
        """The examples of ``"train"`` or ``"val"``, without a check that their files exist."""
        where, entries, own = self._chosen(name)
        if name == "train" and self._own_lists:
            self._refuse_held_out(where, entries, own)
        masks, coding = [entry.mask for entry in entries], self.coding
        if name == "train" and self.train_masks is not None:
            masks = [self.train_masks / f"{entry.id}.png" for entry in entries]
            coding = replace(coding, values=())
        ids, images = [entry.id for entry in entries], [entry.image for entry in entries]
        return Split(ids, images, masks, len(self.labels), where, coding, self.pixels)

    def tags(self, name: str) -> dict[str, tuple[int, ...]]:
        """The image tags in the list of ``"train"`` or ``"val"``: the id of each example -> the numbers in its line.

        Whether 0 is the background or the first other class is the list's own affair. An example without tags has an
        empty tuple. The dict is empty if no line has tags.
        """
        _, entries, _ = self._chosen(name)
        if all(entry.tags is None for entry in entries):
            return {}
        return {entry.id: entry.tags or () for entry in entries}

    def entry_of(self, line: str, where: Path) -> Entry | None:
        """The entry that a line of a user's list names beside the ids of :meth:`entries`; None: no other is allowed.

        Whether its files exist is not checked.
        """
        return None

    def _chosen(self, name: str) -> tuple[str | Path, list[Entry], list[Entry]]:
        """As :meth:`entries`, of the user's list if there is one, and the result of :meth:`entries` itself."""
        where, entries = self.entries(name)
        if name not in self._own_lists:
            return where, entries, entries
        by_id, listed_in = {entry.id: entry for entry in entries}, self._own_lists[name]
        lines = read_list(listed_in)
        found = [_known(line, by_id, listed_in) or self.entry_of(line, listed_in) for line in lines]
        if unknown := [line for line, entry in zip(lines, found, strict=True) if entry is None]:
            kind = {"train": "training", "val": "validation"}[name]
            raise UserError(
                f"{listed_in} names {unknown[0]!r}{_more(unknown)}, which is none of the {len(by_id)} {kind} images of "
                f"{where}.{closest(unknown[0], list(by_id)[:1000])}"
            )
        chosen = [entry for entry in found if entry is not None]
        refuse_doubles([entry.id for entry in chosen], listed_in)
        return listed_in, chosen, entries

    def _refuse_held_out(self, where: str | Path, chosen: Sequence[Entry], own: Sequence[Entry]) -> None:
        """Raise UserError if a user's list makes an example one to train on and to evaluate on.

        Where ``data.train`` and ``data.val`` themselves share examples, they are meant to.
        """
        listed_in_val, val, _ = self._chosen("val")
        held_out = {entry.image for entry in val}
        if "val" not in self._own_lists:
            held_out -= {entry.image for entry in own}
        if leaked := [entry.id for entry in chosen if entry.image in held_out]:
            raise UserError(
                f"{where} names {leaked[0]!r}{_more(leaked)}, which is to evaluate on ({listed_in_val}): take it off "
                f"one of the two, or give another {'data.val_list' if 'val' in self._own_lists else 'data.val'}=."
            )

    def split(self, name: str) -> Split:
        """The examples of ``"train"`` or ``"val"``.

        Raises:
            UserError: the list or a listed file does not exist, the list is empty or names a file twice.
        """
        found = self.listing(name)
        if name == "train" and self.train_masks is not None:
            self._refuse_absent_masks(self.train_masks, found)
        return found.checked(self.mend)

    def _refuse_absent_masks(self, folder: Path, split: Split) -> None:
        """Raise UserError if ``train_masks`` lacks the mask of a training example."""
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
        lonely = [id for id in split.ids if f"{id}.png" not in there]
        if not lonely:
            return
        inside = [each.name for each in sorted(folder.iterdir()) if each.is_dir() and any(each.glob("*.png"))]
        if len(lonely) == len(split) and inside:
            raise UserError(
                f"data.train_masks={folder} has no masks itself, but {inside[0]}/ in it has: type data.train_masks="
                f"{folder / inside[0]}."
            )
        lists = [path for path in (folder / "train.txt", folder.parent / "train.txt") if path.is_file()]
        raise UserError(
            f"data.train_masks={folder} has no {lonely[0]}.png{_more(lonely)}, of the {len(split)} training images of "
            f"{split.listed_in}: type {self.list_key}={lists[0] if lists else 'LIST.txt'}, the ids of the images that "
            "have a mask, or add the masks."
        )


def _known(line: str, by_id: dict[str, Entry], where: Path) -> Entry | None:
    """The entry whose id is ``line``, or the id in it."""
    if line in by_id:
        return by_id[line]
    parsed = parse_line(line, where)
    return replace(by_id[parsed.id], tags=parsed.tags) if parsed.id in by_id else None


def find_list(given: str, folder: Path, key: str) -> Path:
    """The list file that ``given`` means: a path, or the name of a list in ``folder`` without ``.txt``.

    Raises:
        UserError: the file does not exist; the message names ``key`` and the lists in ``folder``.
    """
    is_path = given.endswith(".txt") or "/" in given
    path = Path(given).expanduser() if is_path else folder / f"{given}.txt"
    if path.is_file():
        return path
    there = sorted(file.stem for file in folder.glob("*.txt"))
    hint = f"choose {key}= one of {', '.join(there)}, or give a path" if there else f"give {key}= the path of a list"
    raise UserError(f"{path} does not exist: {hint} (.txt, one image id a line).{closest(path.stem, there)}")


def read_list(path: Path) -> list[str]:
    """The lines of a list, without empty ones.

    Raises:
        UserError: the file is not text, has no line, or has the same line twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin with a BOM
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file ({error}): it holds one image id a line.") from error
    if not lines:
        raise UserError(f"{path} is empty: it holds one image id a line.")
    refuse_doubles(lines, path)
    return lines


def inside(name: str, where: str | Path) -> str:
    """``name`` itself, after a check that it is a relative path that stays inside its folder.

    Raises:
        UserError: ``name`` is absolute or contains ``..``; the message says that ``where`` contains it.
    """
    path = Path(name)
    if path.is_absolute() or path.drive or ".." in path.parts or "\0" in name:
        raise UserError(
            f"{where} names {name!r}, which leads out of the data set's folder: names are relative to it, without '..'."
        )
    return name


def refuse_doubles(ids: Sequence[str], path: str | Path) -> None:
    """Raise UserError for the first id that occurs twice; ``path`` is the list, for the message."""
    seen: set[str] = set()
    for id in ids:
        if id in seen:
            raise UserError(f"{path} names {id!r} twice: each image once.")
        seen.add(id)


def _more(all_of_them: Sequence[str]) -> str:
    return f" and {len(all_of_them) - 1} more" if len(all_of_them) > 1 else ""

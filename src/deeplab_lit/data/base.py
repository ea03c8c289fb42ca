"""Base class of the data sets whose images and masks are files, and the reading of their lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.mask_files import INDICES, MaskCoding
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError, closest


@dataclass(frozen=True)
class Entry:
    """The id, the image file and the mask file of one example."""

    id: str
    image: Path
    mask: Path


class Layout:
    """Base class of a data set whose images and masks are files.

    A subclass defines ``labels``, ``root`` and :meth:`entries`, and ``coding`` if its masks may be other than index
    masks. It may define :meth:`entry_of`, and ``prepare(progress)``, which writes the files that are needed once.
    Several processes may call ``prepare`` at once, and it continues where a killed process stopped.

    Args:
        train_masks: a folder with ID.png for each training example, used instead of the data set's own masks, such as
            pseudo-labels; None: the data set's own masks.
        train_list: a text file with the ids of the training examples to use; None: all.

    Raises:
        UserError: ``train_masks`` is not a folder, or ``train_list`` is not a file.
    """

    labels: LabelSet
    root: Path
    coding: MaskCoding = INDICES

    def __init__(self, train_masks: str | Path | None = None, train_list: str | Path | None = None) -> None:
        self._train_list = None if train_list is None else Path(train_list).expanduser()
        if self._train_list is not None and not self._train_list.is_file():
            raise UserError(f"data.train_list={train_list} does not exist: give a text file with one id a line.")
        self.train_masks = None if train_masks is None else Path(train_masks).expanduser()
        if self.train_masks is not None and not self.train_masks.is_dir():
            raise UserError(
                f"data.train_masks={str(train_masks)!r} is not a folder: give one that holds ID.png for each "
                "training image."
            )

    def entries(self, name: str) -> tuple[str | Path, list[Entry]]:
        """The file or folder that lists ``"train"`` or ``"val"``, for messages, and the entry of each example.

        Whether the files of the examples exist is not checked.
        """
        raise NotImplementedError

    def listing(self, name: str) -> Split:
        """The examples of ``"train"`` or ``"val"``, without a check that their files exist."""
        where, entries = self.entries(name)
        if name == "train" and self._train_list is not None:
            where, entries = self._train_list, self._listed(entries, where, self._train_list)
        masks = [entry.mask for entry in entries]
        if name == "train" and self.train_masks is not None:
            masks = [self.train_masks / f"{entry.id}.png" for entry in entries]
        ids, images = [entry.id for entry in entries], [entry.image for entry in entries]
        return Split(ids, images, masks, len(self.labels), where, self.coding)

    def entry_of(self, line: str, where: Path) -> Entry | None:
        """The entry that a line of ``train_list`` names beside the ids of :meth:`entries`; None: no other is allowed.

        Whether its files exist is not checked.
        """
        return None

    def _listed(self, entries: Sequence[Entry], where: str | Path, listed_in: Path) -> list[Entry]:
        """The entries that the train list ``listed_in`` names."""
        by_id = {entry.id: entry for entry in entries}
        lines = read_list(listed_in)
        found = [by_id.get(line) or self.entry_of(line, listed_in) for line in lines]
        if unknown := [line for line, entry in zip(lines, found, strict=True) if entry is None]:
            raise UserError(
                f"{listed_in} names {unknown[0]!r}{_more(unknown)}, which is none of the {len(by_id)} training images "
                f"of {where}.{closest(unknown[0], list(by_id)[:1000])}"
            )
        chosen = [entry for entry in found if entry is not None]
        refuse_doubles([entry.id for entry in chosen], listed_in)
        listed_in_val, val = self.entries("val")
        held_out = {entry.image for entry in val} - {entry.image for entry in entries}
        if leaked := [entry.id for entry in chosen if entry.image in held_out]:
            raise UserError(
                f"{listed_in} names {leaked[0]!r}{_more(leaked)}, which is to evaluate on ({listed_in_val}): take it "
                "off the list, or give another data.val=."
            )
        return chosen

    def split(self, name: str) -> Split:
        """The examples of ``"train"`` or ``"val"``.

        Raises:
            UserError: the list or a listed file does not exist, the list is empty or names a file twice.
        """
        return self.listing(name).checked()


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
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
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

"""VOC 2010's images and lists, as two data sets of V2 annotate them anew (V2, sections 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeplab_lit.data.base import Layout, find_list, inside, read_list, refuse_doubles
from deeplab_lit.data.list_lines import parse_line
from deeplab_lit.utils.errors import UserError

_DEVKIT = Path("VOCdevkit") / "VOC2010"


class VOC2010(Layout):
    """Base class of a data set whose images are VOC 2010's and whose annotations are in a folder of their own.

    A subclass defines :meth:`list_candidates`, ``archive`` and ``forms``.

    Args:
        root: the folder that holds VOC 2010's JPEGImages and ImageSets, or one that holds VOCdevkit/VOC2010.
        annotations: the folder of the annotations, or one that holds one of ``forms``; None: one of ``forms`` in
            ``root``.
        train, val: the list to train on and the list to evaluate on: a name without ``.txt``, or a path.
        train_masks, train_list, val_list: as in :class:`Layout`.

    Attributes:
        archive: the archives that hold the annotations, for messages.
        forms: the folders of annotations that are looked for.
    """

    archive: str
    forms: Sequence[str]

    def __init__(
        self,
        root: str | Path | None,
        annotations: str | Path | None,
        train: str,
        val: str,
        train_masks: str | Path | None,
        train_list: str | Path | None,
        val_list: str | Path | None,
    ) -> None:
        super().__init__(train_masks, train_list, val_list)
        self._given = None if root is None else Path(root).expanduser()
        self._annotations = None if annotations is None else Path(annotations).expanduser()
        self._lists = {"train": train, "val": val}

    @property
    def root(self) -> Path:  # type: ignore[override]
        """The folder that holds JPEGImages.

        Raises:
            UserError: it is not given, or is not a folder.
        """
        if self._given is None:
            raise UserError(
                "data.root is missing: type data.root=FOLDER, VOC 2010's, which holds JPEGImages and ImageSets "
                "(VOCtrainval_03-May-2010.tar), or roots.voc2010=FOLDER, for all rows of a table."
            )
        within = self._given / _DEVKIT
        found = within if within.is_dir() and not (self._given / "JPEGImages").is_dir() else self._given
        if not (found / "JPEGImages").is_dir():
            raise UserError(
                f"data.root={str(self._given)!r} holds no JPEGImages: give VOC 2010's folder, from "
                "VOCtrainval_03-May-2010.tar."
            )
        return found

    @property
    def annotations(self) -> Path:
        """The folder of the annotations.

        Raises:
            UserError: there is none.
        """
        base = self._annotations or self.root
        for name in self.forms:
            if (base / name).is_dir():
                return base / name
        if self._annotations is not None and self._annotations.is_dir():
            return self._annotations
        raise UserError(
            f"{base} holds none of the folders {', '.join(self.forms)}: extract {self.archive} there, or give "
            "data.annotations=FOLDER, the one that holds such a folder."
        )

    def list_candidates(self, given: str) -> list[Path]:
        """The files that may be the list called ``given``, before VOC 2010's own in ImageSets/Main."""
        raise NotImplementedError

    def list_file(self, name: str) -> Path:
        """The file that lists ``"train"`` or ``"val"``.

        Raises:
            UserError: it does not exist.
        """
        given, folder = self._lists[name], self.root / "ImageSets" / "Main"
        if given.endswith(".txt") or "/" in given:
            return find_list(given, folder, f"data.{name}")
        for path in [*self.list_candidates(given), folder / f"{given}.txt"]:
            if path.is_file():
                return path
        raise UserError(
            f"{path} does not exist: VOC 2010's lists are ImageSets/Main/train.txt and val.txt, in "
            f"VOCtrainval_03-May-2010.tar; or give data.{name}= the path of a list (.txt, one image id a line)."
        )

    def listed_ids(self, name: str) -> list[str]:
        """The ids in the list of ``"train"`` or ``"val"``.

        Raises:
            UserError: the list does not exist, or names an id twice or an image of a later year.
        """
        path = self.list_file(name)
        lines = [parse_line(line, path) for line in read_list(path)]
        ids = [inside(Path(line.paths[0]).stem if line.paths else line.id, path) for line in lines]
        refuse_doubles(ids, path)
        if later := [id for id in ids if id.startswith(("2011_", "2012_"))]:
            raise UserError(
                f"{path} names {later[0]!r}, an image of a later year, which has no such annotation: give data.root= "
                "the folder of VOC 2010 instead of VOC 2012's, or its two lists as data.train= and data.val=."
            )
        return ids

    def image(self, id: str) -> Path:
        """The file of an image."""
        return self.root / "JPEGImages" / f"{id}.jpg"

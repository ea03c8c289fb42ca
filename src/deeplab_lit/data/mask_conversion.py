"""Conversion of annotations to mask files, once and on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from deeplab_lit.data.image_files import write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.parallel import spread
from deeplab_lit.utils.progress import Progress


@contextmanager
def one_converter(folder: Path, what: str) -> Iterator[None]:
    """A context in which this process alone writes converted files into ``folder``, which is made.

    Args:
        folder: the folder.
        what: the files, for the message.

    Raises:
        UserError: ``folder`` cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made for the {what} ({error}): choose another data.converted=FOLDER."
        ) from error
    with one_at_a_time(folder):
        yield


def convert_once(
    folder: Path,
    ids: Iterable[str],
    read: Callable[[str], Bytes | None],
    labels: LabelSet,
    what: str,
    progress: Progress | None = None,
) -> None:
    """Write ``folder``/ID.png for each id that has none.

    Of several processes one converts at a time, and a conversion that was killed goes on where it stopped.

    Args:
        folder: the folder of the masks.
        ids: the ids of the images.
        read: reads the mask of an id, class indices (H, W); other processes can import it. No file is written for an
            id whose mask is None.
        labels: the classes, whose palette the masks have.
        what: the masks, for messages.
        progress: told how many masks are converted.

    Raises:
        UserError: ``folder`` cannot be made, or an annotation cannot be read.
    """
    wanted = list(ids)

    def left() -> list[str]:
        there = {file.stem for file in folder.glob("*.png")}
        return [id for id in wanted if id not in there]

    if not left():  # nothing is written, so the folder may be one that cannot be
        return
    with one_converter(folder, "converted masks"):
        jobs = left()
        work = partial(_convert, folder, read, labels)
        for _ in spread(work, jobs, f"converting {what} once into {folder}", progress):
            pass


def _convert(folder: Path, read: Callable[[str], Bytes | None], labels: LabelSet, id: str) -> None:
    mask = read(id)
    if mask is not None:
        with replacing(folder / f"{id}.png", sync=False) as temporary:
            write_mask(mask, labels.colours, temporary)

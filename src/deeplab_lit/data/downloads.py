"""Downloads of data sets from their official addresses, through torchvision."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.progress import Progress


def fetch_once(
    what: str,
    folder: Path,
    is_whole: Callable[[], bool],
    download: Callable[[Path], None],
    progress: Progress | None = None,
) -> None:
    """Download a data set unless it is whole; of several processes one downloads it and the others wait."""
    if is_whole():
        return
    if progress:
        progress(f"downloading {what} into {folder}", 0, 1)
    with one_at_a_time(folder):
        if not is_whole():
            download(folder)


def download_voc(folder: Path) -> None:
    """Fetch PASCAL VOC 2012 (2 GB) and extract it to ``folder/VOCdevkit/VOC2012``.

    Raises:
        UserError: it cannot be fetched; the message says which file to put where, with its checksum.
    """
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    about = DATASET_YEAR_DICT["2012"]
    _fetch(about["url"], folder, about["filename"], about["md5"])


def download_sbd(folder: Path) -> None:
    """Fetch the Semantic Boundaries Dataset (1.4 GB) and extract it to ``folder/benchmark_RELEASE/dataset``.

    Raises:
        UserError: it cannot be fetched; the message says which file to put where, with its checksum.
    """
    from torchvision.datasets import SBDataset

    _fetch(SBDataset.url, folder, SBDataset.filename, SBDataset.md5)


def _fetch(url: str, folder: Path, name: str, md5: str) -> None:
    from torchvision.datasets.utils import check_integrity, download_url

    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        damaged = file.is_file() and not check_integrity(str(file), md5)
        if damaged:
            raise UserError(f"{file} is not the official archive: its MD5 is not {md5}; delete it or put a whole copy.")
        download_url(url, str(folder), filename=name, md5=md5)
        _extract(file, folder)
    except UserError:
        raise
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{name} could not be fetched from {url} ({error}): get it from another place, put it into {folder} (its "
            f"MD5 is {md5}) and type the same command again."
        ) from error


def _extract(archive: Path, folder: Path) -> None:
    """Extract a tar archive into ``folder``; raise UserError for a member that would be written outside it."""
    if not hasattr(tarfile, "data_filter"):
        raise UserError("archives are extracted safely from Python 3.11.4 on: use that, or extract it by hand.")
    try:
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise UserError(
            f"{archive} would write outside its folder ({error}): it is not the official archive."
        ) from error

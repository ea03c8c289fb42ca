"""Fetching of weights by path, by URL and from the Hugging Face Hub. Only a download imports torch."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing
from deeplab_lit.utils.homes import cache_folder
from deeplab_lit.utils.locks import one_at_a_time

_TRIES = 3
HUB_FILE = "model.safetensors"
"""The name of the weights in a repository on the Hugging Face Hub."""

BEST = "checkpoints/best.ckpt"
"""The path of the best checkpoint in a run directory."""


def weights_file(path: str | Path) -> Path:
    """The local file of weights that ``path`` means.

    A URL is fetched once. A run directory stands for its best checkpoint, and a folder that ``deeplab_lit.push`` wrote
    for the weights in it.

    Raises:
        UserError: there is no such file, or the folder is neither.
    """
    if is_url(path):
        path = fetched(str(path))
    path = Path(path).expanduser()
    for name in (HUB_FILE, BEST):
        if (path / name).is_file():
            return path / name
    if path.is_dir():
        files = [*path.glob("checkpoints/last.ckpt"), *sorted(path.glob("*.ckpt"))]
        instead = f"type {files[0]}" if files else "give a run directory with a best checkpoint, or a file"
        raise UserError(f"checkpoint {str(path)!r} is a folder without {BEST} and without {HUB_FILE}: {instead}.")
    if not path.is_file():
        raise UserError(f"checkpoint {str(path)!r} does not exist: give a run directory, or a file such as RUN/{BEST}.")
    return path


def is_url(path: str | Path) -> bool:
    """Whether ``path`` is a URL."""
    return "://" in str(path)


def fetched(url: str) -> Path:
    """The local file of a URL, which is fetched once.

    An http(s) URL is kept in this library's cache folder, a file of the Hugging Face Hub in the Hub's own.

    Args:
        url: ``https://...``, or ``hf://USER/NAME[@REVISION][/FILE]``, where FILE is ``model.safetensors`` unless given.

    Raises:
        UserError: it cannot be fetched, or the URL is of another kind.
    """
    if url.startswith("hf://"):
        return _from_hub(url)
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: https://, http:// and hf:// are fetched; give anything else as a file's path.")
    name = url.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    file = cache_folder() / "checkpoints" / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    with one_at_a_time(file):
        if not file.is_file():
            try:
                _download(url, file)
            except (OSError, RuntimeError) as error:
                raise UserError(f"{url} could not be fetched ({error}): fetch it by hand and give the path.") from error
    return file


def _download(url: str, file: Path) -> None:
    """Write what is at a URL to a file; where the server closes the connection, it is asked again."""
    from torch.hub import download_url_to_file

    for left in reversed(range(_TRIES)):
        try:
            with replacing(file) as temporary:
                download_url_to_file(url, str(temporary), progress=False)
            return
        except ConnectionError:
            if not left:
                raise
            time.sleep(1)


def _from_hub(url: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"{url} needs huggingface_hub: pip install 'deeplab_lit[hub]'.") from error
    parts = url.removeprefix("hf://").split("/", 2)
    if len(parts) < 2 or not all(parts[:2]):
        raise UserError(f"{url} is not complete: hf://USER/NAME, with /FILE or @REVISION if wanted.")
    name, _, revision = parts[1].partition("@")
    file = parts[2] if len(parts) == 3 and parts[2] else HUB_FILE
    try:
        return Path(hf_hub_download(f"{parts[0]}/{name}", file, revision=revision or None))
    except (OSError, ValueError) as error:  # of which all of the Hub's errors are
        raise UserError(
            f"{url} could not be fetched ({str(error).splitlines()[0]}): is the name right, and are you logged in "
            "(`hf auth login`) if it is private?"
        ) from error

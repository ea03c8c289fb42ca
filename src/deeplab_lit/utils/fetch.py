"""Where a checkpoint lies. torch is not imported here, so that a wrong path is answered at once."""

from __future__ import annotations

from pathlib import Path

from deeplab_lit.utils.errors import UserError

HUB_FILE = "model.safetensors"
"""The name of the weights in a repository on the Hugging Face Hub."""


def found(path: str | Path) -> Path:
    """The file that ``path`` means: fetched once if it is a URL, and of a folder what ``deeplab_lit.push`` put there.

    Raises:
        UserError: there is none.
    """
    if is_url(path):
        from deeplab_lit.data.downloads import fetched

        path = fetched(str(path))
    path = Path(path).expanduser()
    if (path / HUB_FILE).is_file():
        return path / HUB_FILE
    if not path.is_file():
        raise UserError(f"checkpoint {str(path)!r} does not exist: a run keeps its own under checkpoints/best.ckpt.")
    return path


def is_url(path: str | Path) -> bool:
    """Whether ``path`` is on another machine."""
    return "://" in str(path)

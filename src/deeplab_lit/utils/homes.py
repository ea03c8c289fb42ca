"""Homes that cannot be written to, or do not exist: folders in their place, for this library and those that it uses."""

from __future__ import annotations

import functools
import getpass
import logging
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("deeplab_lit")

_OF_LIBRARIES = {
    "matplotlib": ("MPLCONFIGDIR",),
    "huggingface": ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"),
    "torch": ("TORCH_HOME",),
}
"""Libraries that write into the home, and the variables of the environment that move that; the first one is set."""


def existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each) or each == each.parent)


def is_writable(folder: Path) -> bool:
    """Whether this process may make files in ``folder``, or, where that does not exist, make ``folder``."""
    found = existing(folder.absolute())
    return found.is_dir() and os.access(found, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def cache_folder(given: str | Path | None = None) -> Path:
    """The folder for data that is made or fetched once: ``given``, or the cache folder.

    The cache folder is ``$DEEPLAB_LIT_CACHE``, else ``$XDG_CACHE_HOME/deeplab_lit`` or ``~/.cache/deeplab_lit``. Where
    that cannot be written to, it is a folder below that for temporary files, which is named in a warning, and which
    ``DEEPLAB_LIT_CACHE`` names to the end of the process.
    """
    if given is not None:
        return Path(given).expanduser()
    wanted = wanted_cache()
    if wanted is not None and ("DEEPLAB_LIT_CACHE" in os.environ or is_writable(wanted)):
        return wanted
    folder = temporary_folder()
    # other processes of this one use the folder too, without a warning of their own
    os.environ["DEEPLAB_LIT_CACHE"] = str(folder)
    log.warning(
        "%s, so what is made or fetched once goes to %s: set DEEPLAB_LIT_CACHE to a folder that lasts",
        "there is no home" if wanted is None else f"{existing(wanted)} cannot be written to",
        folder,
    )
    return folder


def wanted_cache() -> Path | None:
    """The cache folder, whether it can be written to or not; None where there is no home and no variable names one."""
    if "DEEPLAB_LIT_CACHE" in os.environ:
        return Path(os.environ["DEEPLAB_LIT_CACHE"]).expanduser()
    home = _cache_home()
    return None if home is None else home / "deeplab_lit"


def scratch_folder() -> Path:
    """The cache folder, or a folder for temporary files where the cache folder cannot be written to."""
    folder = cache_folder()
    return folder if is_writable(folder) else temporary_folder()


@functools.cache
def temporary_folder() -> Path:
    """A folder for temporary files that belongs to this user and that no other user can write to.

    It has the same path in each process of the user, unless another user has made something of that name before.
    """
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"deeplab_lit-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    own = not hasattr(os, "getuid") or (about.st_uid == user and not about.st_mode & 0o022)
    return folder if stat.S_ISDIR(about.st_mode) and own else Path(tempfile.mkdtemp(prefix="deeplab_lit-"))


def lend_folders() -> None:
    """Where the home cannot be written to, give libraries that write into it folders below the cache folder.

    It sets variables of the environment that the user has not set, for this process and those that it starts.
    """
    home = _home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or (home or Path()) / ".config")
    cache = _cache_home()
    if home is not None and cache is not None and is_writable(cache) and is_writable(config):
        return
    scratch = scratch_folder()
    for library, names in _OF_LIBRARIES.items():
        if not any(name in os.environ for name in names):
            os.environ[names[0]] = str(scratch / library)
    if home is None:
        os.environ["HOME"] = str(scratch)  # otherwise libraries make a folder named ~ in the working folder


def _cache_home() -> Path | None:
    """``$XDG_CACHE_HOME`` or ``~/.cache``; None where there is no home."""
    given, home = os.environ.get("XDG_CACHE_HOME"), _home()
    if given:
        return Path(given).expanduser()
    return None if home is None else home / ".cache"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # neither a variable nor the list of users names one
        return None

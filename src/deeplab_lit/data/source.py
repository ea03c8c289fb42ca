"""Source of examples: the data set that a config describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_lit.config.recipes import without_recipe
from deeplab_lit.data.base import Layout
from deeplab_lit.utils.instantiate import create
from deeplab_lit.utils.progress import Progress

_NOT_FROM_FILES = ("converted", "cache", "download", "recipe", "check", "check_against")
"""Keys that are dropped from a config that comes out of a file, such as a checkpoint.

Such a config does not choose folders to write to or data to download. The last three keys occur in checkpoints of
earlier versions.
"""


def open_source(
    config: Mapping[str, Any], progress: Progress | None = None, allowed: Sequence[str] | None = None
) -> Any:
    """The data set of a config, with its files written if it needs them.

    Args:
        config: the config group ``data``.
        progress: told how many files are written.
        allowed: packages that ``_target_`` may name. They are given for a config that comes out of a file, which then
            does not choose where files are written. None: the config is trusted.

    Raises:
        UserError: the config is wrong, or a file or folder that it names does not exist.
    """
    left = () if allowed is None else _NOT_FROM_FILES
    known = {key: value for key, value in without_recipe(config).items() if key not in left}
    source = create(known, "data", allowed=allowed, kind=Layout)
    if hasattr(source, "prepare"):
        source.prepare(progress)
    return source

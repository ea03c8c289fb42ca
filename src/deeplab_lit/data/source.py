"""A data set from its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_lit.config.recipes import without_recipe
from deeplab_lit.data.base import Layout
from deeplab_lit.utils.instantiate import create
from deeplab_lit.utils.progress import Progress

_NOT_FROM_FILES = ("converted", "cache", "download", "recipe", "check", "check_against")
"""Keys that are left out of a config which comes out of a file: such a file chooses no folders that are written to and
nothing that is fetched; the last three stand in checkpoints of earlier versions."""


def open_source(
    config: Mapping[str, Any], progress: Progress | None = None, allowed: Sequence[str] | None = None
) -> Any:
    """The data set of a config, whose files it may have to write first.

    Args:
        config: of the group ``data``.
        progress: told what is written.
        allowed: prefixes that its ``_target_`` must have, for a config that comes out of a file, which then does not
            choose where files are written; None trusts it.

    Raises:
        UserError: the config is wrong, or what it names is not there.
    """
    left = () if allowed is None else _NOT_FROM_FILES
    known = {key: value for key, value in without_recipe(config).items() if key not in left}
    source = create(known, "data", allowed=allowed, kind=Layout)
    if hasattr(source, "prepare"):
        source.prepare(progress)
    return source

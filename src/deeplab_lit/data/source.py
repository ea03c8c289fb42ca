"""A data set from its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_lit.data.base import Layout
from deeplab_lit.utils.instantiate import create
from deeplab_lit.utils.progress import Progress

# keys that ask for a check of the data set, which does not know them
_OF_THE_CHECK = ("check", "check_against")
# a file from elsewhere does not choose the folders that are written to, nor what is fetched
_WHERE_TO_WRITE = ("converted", "cache", "download")


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
    left = _OF_THE_CHECK if allowed is None else (*_OF_THE_CHECK, *_WHERE_TO_WRITE)
    known = {key: value for key, value in config.items() if key not in left}
    source = create(known, "data", allowed=allowed, kind=Layout)
    if hasattr(source, "prepare"):
        source.prepare(progress)
    return source

"""A data set from its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_lit.components import create
from deeplab_lit.data.layout import Progress


def open_source(
    config: Mapping[str, Any], progress: Progress | None = None, allowed: Sequence[str] | None = None
) -> Any:
    """The data set of a config, whose files it may have to write first.

    Args:
        config: of the group ``data``.
        progress: told what is written.
        allowed: prefixes that its ``_target_`` must have, for a config that comes out of a file; None trusts it.

    Raises:
        UserError: the config is wrong, or what it names is not there.
    """
    # those two ask for a check of the data set, which does not know them
    source = create(
        {key: value for key, value in config.items() if key not in ("check", "check_against")}, "data", allowed=allowed
    )
    if hasattr(source, "prepare"):
        source.prepare(progress)
    return source

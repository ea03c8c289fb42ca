"""Keys of a config: dataclass fields that carry their meaning and whether they decide the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


def key(
    meaning: str, default: Any = dataclasses.MISSING, *, factory: Callable[[], Any] | None = None, decides: bool = True
) -> Any:
    """A field of a schema.

    Args:
        meaning: what ``--help`` says of it.
        default: its value unless something is typed; left out where the value is required or follows from a choice.
        factory: makes the default, for lists and mappings.
        decides: whether another value gives another result. False for keys that say where results go, how fast they
            come, and how the work is watched: a run, a folder or a search is gone on with whatever these are.
    """
    metadata = {"meaning": meaning, "decides": decides}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def deciding_keys(schema: Any) -> tuple[str, ...]:
    """The names of a schema's keys that decide the result."""
    return tuple(each.name for each in dataclasses.fields(schema) if each.metadata.get("decides", True))

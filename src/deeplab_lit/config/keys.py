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
        meaning: a description, which ``--help`` prints.
        default: the default value; omitted where the value is required or follows from a group's choice.
        factory: makes the default, for lists and mappings.
        decides: whether the value changes the result. False for keys that set output folders, speed or monitoring;
            a run, a folder of labels or a search can be resumed with other values of these.
    """
    metadata = {"meaning": meaning, "decides": decides}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def deciding_keys(schema: Any) -> tuple[str, ...]:
    """The names of a schema's keys that decide the result."""
    return tuple(each.name for each in dataclasses.fields(schema) if each.metadata.get("decides", True))

"""Known keys: a composed config has no key that nothing reads, such as one that was added by a mistyped +KEY=VALUE."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deeplab_lit.utils.errors import UserError, closest


def check_known(cfg: DictConfig) -> None:
    """Check the keys of a composed config against its schemas.

    Groups without a schema take any key: what they are arguments of checks them. So does a key that another value
    refers to, as in ``${KEY}``.

    Raises:
        UserError: a key is not a field of its schema, and no value refers to it.
    """
    referred = set(_referred(OmegaConf.to_container(cfg)))
    known = [name for name, is_field in _keys(cfg) if is_field]
    for name, is_field in _keys(cfg):
        if not is_field and not any(f"{each}.".startswith(f"{name}.") for each in referred):
            raise UserError(unknown_key(name, known))


def unknown_key(name: str, known: Sequence[str]) -> str:
    """The message for a key that a command does not have, with the nearest of the known ones."""
    leaf = [each for each in known if each.split(".")[-1] == name.split(".")[-1]]
    mend = f" Did you mean {leaf[0]!r}?" if leaf else closest(name, known)
    return f"{name} is not a key of this configuration.{mend} All keys: --help."


def _keys(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """The keys of all nodes that have a schema, each with whether it is a field of the schema."""
    schema = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(schema):
        return
    fields = {each.name for each in dataclasses.fields(schema)}
    for key in map(str, node):
        yield f"{prefix}{key}", key in fields
        child = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        if key in fields and isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{key}.")


def _referred(value: Any) -> Iterator[str]:
    """The dotted names inside every ``${...}``."""
    if isinstance(value, str) and "${" in value:
        yield from re.findall(r"[\w.]+", value)
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _referred(each)

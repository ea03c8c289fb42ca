"""Instantiation of objects from configs: ``_target_`` and the arguments of its constructor."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_lit.utils.errors import UserError, closest

OWN = ("deeplab_lit.",)
"""The prefixes that ``_target_`` of a config out of a file may have, unless the caller adds more."""


def create(
    config: Mapping[str, Any],
    what: str,
    *,
    allowed: Sequence[str] | None = None,
    kind: type = object,
    **arguments: Any,
) -> Any:
    """Call the class or function that ``config["_target_"]`` names with the rest of the config.

    Args:
        config: ``_target_`` and plain argument values.
        what: what the user calls this component, such as ``"model"``; used in messages.
        allowed: prefixes that ``_target_`` must have; None: the config is trusted.
        kind: with ``allowed``, the base class that a class of this library must have.
        arguments: further arguments, which the config does not choose.

    Raises:
        UserError: the target is missing, not allowed or not importable; an argument is unknown, missing or refused.
    """
    given = {key: value for key, value in config.items() if key != "_target_"}
    target = locate(config.get("_target_"), what, allowed, kind)
    takes = inspect.signature(target).parameters
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    names = [name for name in takes if name not in arguments]
    for key in given:
        if key not in names and not free:
            raise UserError(f"{what}.{key} is not known: {what} takes {', '.join(names)}.{closest(key, names)}")
    for name, parameter in takes.items():
        required = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if required and given.get(name, arguments.get(name)) is None:
            raise UserError(f"{what}.{name} is missing: type {what}.{name}=VALUE.")
    try:
        return target(**given, **arguments)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} does not accept {given}: {error}") from error


def locate(target: Any, what: str, allowed: Sequence[str] | None = None, kind: type = object) -> Any:
    """The class or function with the dotted name ``target``.

    The other arguments and the errors are those of :func:`create`.
    """
    if not isinstance(target, str) or "." not in target:
        raise UserError(f"{what} has no _target_: it is the dotted name of a class, such as mypackage.trunks.MyTrunk.")
    if allowed is not None and not target.startswith(tuple(allowed)):
        raise UserError(
            f"the file asks for {what} {target!r}, which may run any code: only {', '.join(allowed)} is allowed. If "
            f"you trust the file, allow its package by name: allow=[{target.split('.')[0]}.]."
        )
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{what} {target!r} cannot be imported ({error}): is its package installed, or its folder on PYTHONPATH?"
        ) from error
    # an allowed module may have imported the object from a module that is not allowed
    at_home = allowed is None or str(getattr(found, "__module__", "")).startswith(tuple(allowed))
    own = allowed is not None and target.startswith(OWN)
    if not callable(found) or not at_home or (own and not (isinstance(found, type) and issubclass(found, kind))):
        raise UserError(f"{target!r} is no {what}: it has to be a class that makes one.")
    return found

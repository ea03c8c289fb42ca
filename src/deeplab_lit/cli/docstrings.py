"""Meanings of constructor arguments, read from the docstrings of source files, which are not imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache

from deeplab_lit.config.paths import package_folder

_AS_IN = re.compile(r"^.*\bas in :class:`(\w+)`")


@cache
def arguments_of(target: str) -> Mapping[str, str]:
    """What each argument of a class means.

    Args:
        target: the dotted name of the class; only the classes of this package have meanings.

    Returns:
        From the name of an argument to its text under ``Args:``, with base classes' arguments.
    """
    module, _, name = target.rpartition(".")
    file = package_folder().parent.joinpath(*module.split(".")).with_suffix(".py")
    if not module.startswith(f"{package_folder().name}.") or not file.is_file():
        return {}
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = next((each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name), None)
    if found is None:
        return {}
    meanings: dict[str, str] = {}
    for base in found.bases:
        if isinstance(base, ast.Name):
            meanings |= arguments_of(_dotted(base.id, module, tree))
    for argument, text in _args_section(ast.get_docstring(found) or "").items():
        other = _AS_IN.match(text)
        told = arguments_of(_dotted(other[1], module, tree)).get(argument) if other else None
        meanings[argument] = _plain(text if other is None or told is None else told.rstrip(".") + text[other.end() :])
    return meanings


def _dotted(name: str, module: str, tree: ast.Module) -> str:
    """The dotted name of a class that a module defines or imports."""
    for each in tree.body:
        if isinstance(each, ast.ImportFrom) and any((one.asname or one.name) == name for one in each.names):
            return f"{each.module}.{name}"
    return f"{module}.{name}"


def _args_section(docstring: str) -> dict[str, str]:
    """The texts under ``Args:``; an entry may name several arguments."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", docstring + "\n", re.M)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        entry = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
        for name in names if line.strip() else []:
            found[name] = entry[2] if entry else f"{found[name]} {line.strip()}"
    return found


def _plain(text: str) -> str:
    """The text as a config has it: without markup, and with null for None."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")
    for python, config in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"\b{python}\b", config, text)
    return text.rstrip(".")

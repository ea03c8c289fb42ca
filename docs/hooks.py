"""Hooks of the site's build: tables made from configs and schemas, and pages that stand outside of docs/.

A page asks for a table by a comment, ``<!-- NAME -->`` or ``<!-- NAME: ARGUMENT -->``; :data:`TABLES` are the names.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

import yaml

from deeplab_lit.cli import reference
from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder, tables

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md", "benchmarks/README.md": "benchmarks.md", "CITATION.cff": "CITATION.cff",
}  # fmt: skip
"""Files of the repository that the site shows too, and their names there."""


def commands() -> str:
    """The rows of the table of commands."""
    return _rows((f"`{name}`", command.about) for name, command in COMMANDS.items())


def groups() -> str:
    """Every config group with its choices, the default in bold."""
    parts = []
    for group, default in {**reference.groups_of("train"), **reference.groups_of("tune")}.items():
        marked = [
            (f"**`{each.name}`**" if each.name == default else f"`{each.name}`", each.meaning)
            for each in reference.choices(group)
        ]
        parts.append(f"### `{group}`\n\n" + _table(("choice", "what it is"), marked))
    return "\n\n".join(parts)


def keys(command: str) -> str:
    """The keys of a command outside its config groups."""
    rows = ((f"`{each.name}`", _code(each.default), each.meaning) for each in reference.keys(command))
    return _table(("key", "default", "meaning"), rows)


def values(group: str) -> str:
    """The keys inside a config group with the value that each choice gives them."""
    names = [each.name for each in reference.choices(group) if each.name != "none"]
    chosen = {name: _values(group, name) for name in names}
    meanings: dict[str, str] = {}
    for schema, _ in chosen.values():
        meanings |= {each.name: each.metadata["meaning"] for each in dataclasses.fields(schema) if each.name != "name"}
    shown = {name: {key: _code(_shown(found.get(key, ""))) for key in meanings} for name, (_, found) in chosen.items()}
    if len(names) <= _BESIDE:
        rows = ((f"`{group}.{key}`", *(each[key] for each in shown.values()), text) for key, text in meanings.items())
        return _table(("key", *(f"`{name}`" for name in names), "meaning"), rows)
    common = {key for key in meanings if len({each[key] for each in shown.values()}) == 1}
    differing = [key for key in meanings if key not in common]
    first = next(iter(shown.values()))
    by_key = ((f"`{group}.{key}`", first[key] if key in common else "", text) for key, text in meanings.items())
    by_choice = ((f"`{name}`", *(each[key] for key in differing)) for name, each in shown.items())
    whole = _table(("choice", *(key.replace("_", " ") for key in differing)), by_choice)
    return whole + "\n\n" + _table(("key", "of all choices", "meaning"), by_key)


def papers_tables() -> str:
    """What each table of the papers shows, and its rows with the published mIoU without and with the CRF."""
    parts = []
    for table in sorted(tables()):
        rows = reference.rows_of_table(table)
        cells = ((f"`{each.name}`", *map(_number, each.published), each.notes) for each in rows)
        head = f"### `experiments={table}`\n\n{reference.about_table(table)[0]}\n\n"
        parts.append(head + _table(("row", "published", "with the CRF", "what it is"), cells))
    return "\n\n".join(parts)


_BESIDE = 4  # choices of a group that are shown beside each other, a column each

TABLES: dict[str, Callable[..., str]] = {
    "commands": commands, "groups": groups, "keys": keys, "values": values, "papers-tables": papers_tables,
}  # fmt: skip


def filled(markdown: str) -> str:
    """A page with its tables; raises KeyError for a name that is no table."""

    markdown = re.sub(r"^<!-- (begin [\w-]+|end of it) -->\n", "", markdown, flags=re.MULTILINE)  # of docs/results.py

    def made(match: re.Match[str]) -> str:
        return TABLES[match[1]](*([match[2]] if match[2] else []))

    return re.sub(r"^<!-- ([\w-]+)(?:: (\w+))? -->$", made, markdown, flags=re.MULTILINE)


def with_links(markdown: str, page: str) -> str:
    """A page of the repository with its links as the site has them.

    Args:
        markdown: the page.
        page: its path in the repository; links are relative to it.
    """

    def moved(match: re.Match[str]) -> str:
        target, hash, anchor = match[1].partition("#")
        place = normpath(PurePosixPath(page).parent / target)
        name = OUTSIDE.get(place, place.removeprefix("docs/"))
        return f"]({name}{hash}{anchor})"

    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", moved, markdown)


def on_files(files: Any, config: Any) -> Any:
    """Add the files of :data:`OUTSIDE` to the site."""
    from mkdocs.structure.files import File

    for source, name in OUTSIDE.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, name, content=with_links(text, source) if name.endswith(".md") else text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the tables of a page of docs/ and mend its links."""
    name = page.file.src_uri
    return markdown if name in OUTSIDE.values() else filled(with_links(markdown, f"docs/{name}"))


def on_page_content(html: str, **_: Any) -> str:
    """Show the names that docstrings refer to as code, without the role that stands before them."""
    return re.sub(r":(?:class|func|meth|mod|data|attr):<code>~?(.*?)</code>", r"<code>\1</code>", html)


def _values(group: str, choice: str) -> tuple[type, dict[str, Any]]:
    content = yaml.safe_load((conf_folder() / group / f"{choice}.yaml").read_text())
    schema = SCHEMAS[re.search(r"/schema/(\w+)@", str(content.pop("defaults")))[1]]  # type: ignore[index]
    found = {}
    for each in dataclasses.fields(schema):
        if each.default is not dataclasses.MISSING:
            found[each.name] = each.default
        elif each.default_factory is not dataclasses.MISSING:
            found[each.name] = each.default_factory()
    return schema, {**found, **content}


def _shown(value: Any) -> str:
    """A value as it is typed; of a reference to another key, its default and that key."""
    if isinstance(value, str) and (reference := re.fullmatch(r"\$\{(?:oc\.select:)?([\w.]+)(?:,(.+))?\}", value)):
        return f"{reference[2]}, or {reference[1]}" if reference[2] else reference[1]
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return f"{_rows([head, ['---'] * len(head)])}\n{_rows(rows)}"


def _rows(rows: Iterable[Iterable[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)

"""The reference of a command's arguments: groups, choices and keys.

They are read from the config files and schemas, without the time that Hydra takes to compose a config.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml
from omegaconf import OmegaConf

from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder, experiments_folder

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a command: its name, the default where it has a fixed one, and what it means."""

    name: str
    default: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice of a config group, and what it is."""

    name: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class RowOfTable:
    """A row of a published table.

    Attributes:
        name: the name of its file.
        published: the published mIoU in percent without and with the CRF; None where there is none.
        notes: a description.
    """

    name: str
    published: tuple[float | None, float | None]
    notes: str


def keys(command: str) -> list[Key]:
    """The keys of a command outside its config groups, in the order of the schema."""
    hidden = {*groups_of(command), "row"}
    return [each for each in _described(SCHEMAS[command]) if each.name.split(".")[0] not in hidden]


def groups_of(command: str, typed: Mapping[str, str] = MappingProxyType({})) -> dict[str, str | None]:
    """The config groups of a command with their choices: those that are typed, and the defaults of the others."""
    groups: dict[str, str | None] = {}
    for entry in _read(conf_folder() / f"{command}.yaml").get("defaults", []):
        if isinstance(entry, str) and entry in SCHEMAS:
            groups |= groups_of(entry)
        elif isinstance(entry, dict):
            groups |= {key: choice for key, choice in entry.items() if re.fullmatch(r"\w+", key)}
    groups |= {group: choice for group, choice in typed.items() if group in groups}
    # some defaults follow from the choice of another group
    return cast(dict[str, str | None], OmegaConf.to_container(OmegaConf.create(groups), resolve=True))


def choices(group: str) -> list[Choice]:
    """The choices of a config group. Those of ``experiments`` exclude the rows of tables."""
    about = _read(conf_folder() / "choices.yaml").get(group, {})
    if group == "experiments":
        return [Choice(file.stem, about.get(file.stem, "")) for file in sorted(experiments_folder().glob("*.yaml"))]
    return [Choice(file.stem, about.get(file.stem, "")) for file in sorted((conf_folder() / group).glob("*.yaml"))]


def about_table(table: str) -> tuple[str, str]:
    """What a table of the papers shows, and the arguments that run it."""
    sweeper = _read(experiments_folder() / f"{table}.yaml")["hydra"]["sweeper"]
    return sweeper["about"], f"experiments={table} {sweeper['roots']}"


def rows_of_table(table: str) -> list[RowOfTable]:
    """The rows of a table in its order, then the other rows of its folder, from which rows of the table start."""
    folder = experiments_folder() / table
    first = _read(folder.with_suffix(".yaml"))["hydra"]["sweeper"]["rows"]
    others = sorted(file.stem for file in folder.glob("*.yaml") if file.stem not in first)
    rows = []
    for name in [*first, *others]:
        row = _read(folder / f"{name}.yaml")["row"]
        published = row.get("published", {})
        rows.append(RowOfTable(name, (published.get("miou"), published.get("crf_miou")), row["notes"]))
    return rows


def all_keys(command: str, arguments: Sequence[str]) -> list[str]:
    """Every key of a command, those inside the chosen config groups included: ``model.rates`` as well as ``seed``.

    Args:
        command: such as ``train``.
        arguments: what is typed; groups that it does not choose have their default choice.
    """
    chosen = groups_of(command, dict(each.split("=", 1) for each in arguments if "=" in each))
    names = dict.fromkeys([each.name for each in _described(SCHEMAS[command], whole=True)])
    for group, choice in chosen.items():
        names |= {group: None}
        file = conf_folder() / group / f"{choice}.yaml"
        if file.is_file() and "@package" not in file.read_text():
            names |= dict.fromkeys(_of_file(file, group))
    return list(names)


def _described(schema: Any, prefix: str = "", whole: bool = False) -> Iterator[Key]:
    """The keys of a schema and of its nested schemas. With ``whole``, also the keys that hold the nested schemas."""
    types = typing.get_type_hints(schema)
    for each in dataclasses.fields(schema):
        kind = types[each.name]
        part = next((one for one in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(one)), None)
        if part is None or whole:
            yield Key(prefix + each.name, _default(each), each.metadata["meaning"])
        if part is not None:
            yield from _described(part, f"{prefix}{each.name}.", whole)


def _default(each: dataclasses.Field[Any]) -> str:
    if each.default is dataclasses.MISSING:
        return ""
    if each.default is None or isinstance(each.default, bool):
        return {None: "null", False: "false", True: "true"}[each.default]
    return str(each.default)


def _of_file(file: Path, group: str) -> Iterator[str]:
    for entry in _read(file).get("defaults", []):
        schema = re.match(r"/schema/(\w+)", entry)
        if schema:
            yield from (each.name for each in _described(SCHEMAS[schema[1]], f"{group}.", whole=True))
        elif (file.parent / f"{entry}.yaml").is_file():
            yield from _of_file(file.parent / f"{entry}.yaml", group)
    yield from _nested({key: value for key, value in _read(file).items() if key != "defaults"}, f"{group}.")


def _nested(content: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _nested(value, f"{prefix}{key}.")


@cache
def _read(file: Path) -> dict[str, Any]:
    return yaml.load(file.read_text(), _LOADER) or {}

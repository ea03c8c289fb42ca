"""The reference of a command's arguments: groups, choices and keys.

They are read from the config files and schemas, without the time that Hydra takes to compose a config.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml
from omegaconf import OmegaConf

from deeplab_lit.cli.docstrings import arguments_of
from deeplab_lit.cli.whole_choices import LOADER, choices_made, keys_set, merged, read_yaml
from deeplab_lit.config.hydra_store import SCHEMAS
from deeplab_lit.config.paths import conf_folder, experiments_folder, sweeper_of


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a command: its name, its default for the choices, empty where that is computed, and what it means."""

    name: str
    default: Any
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


def keys(command: str, arguments: Sequence[str] = ()) -> list[Key]:
    """The keys of a command outside its config groups, in the order of the schema.

    Args:
        command: such as ``train``.
        arguments: what is typed; defaults may follow from the choices.
    """
    hidden, choices = {*groups_of(command), "row"}, chosen(command, arguments)
    follows, values = merged(_follows(command), keys_set(choices)), _values_of(choices)
    return [
        Key(each.name, _shown(_select(follows, each.name, each.default), values), each.meaning)
        for each in _described(SCHEMAS[command])
        if each.name.split(".")[0] not in hidden
    ]


def chosen(command: str, arguments: Sequence[str]) -> dict[str, str | None]:
    """The choice of each config group of a command: that which is typed, else the default."""
    return groups_of(command, dict(each.lstrip("+").split("=", 1) for each in arguments if "=" in each))


def keys_of_choices(choices: Mapping[str, str | None]) -> dict[str, list[Key]]:
    """The keys inside each config group at its choice, the recipe of the choice excluded.

    Args:
        choices: the choice of each group of a command.
    """
    values = _values_of(choices)
    return {group: list(_keys_of_file(group, values, choices[group])) for group in choices}


def _keys_of_file(group: str, values: Mapping[str, Any], choice: str | None) -> Iterator[Key]:
    file = conf_folder() / group / f"{choice}.yaml"
    if group not in values or "@package" in file.read_text():
        return
    own, schema = values[group], _schema_of(file)
    if schema is not None:  # its key ``name`` says which choice it is
        meanings = {each.name: each.meaning for each in _described(schema) if each.name != "name"}
    else:
        told = {**_comments(file), **arguments_of(str(own.get("_target_", "")))}
        meanings = {name: told.get(name, "") for name in own if name not in ("_target_", "recipe")}
    for name, text in meanings.items():
        yield Key(f"{group}.{name}", _shown(own.get(name), values), text)


def groups_of(command: str, typed: Mapping[str, str] = MappingProxyType({})) -> dict[str, str | None]:
    """The config groups of a command with their choices: those that are typed, and the defaults of the others."""
    groups: dict[str, str | None] = {}
    for entry in read_yaml(conf_folder() / f"{command}.yaml").get("defaults", []):
        if isinstance(entry, str) and entry in SCHEMAS:
            groups |= groups_of(entry)
        elif isinstance(entry, dict):
            groups |= {key: choice for key, choice in entry.items() if re.fullmatch(r"\w+", key)}
    made = {**choices_made(typed), **typed}
    groups |= {group: choice for group, choice in made.items() if group in groups}
    # some defaults follow from the choice of another group
    return cast(dict[str, str | None], OmegaConf.to_container(OmegaConf.create(groups), resolve=True))


def choices(group: str) -> list[Choice]:
    """The choices of a config group. Those of ``experiments`` exclude the rows of tables."""
    about = read_yaml(conf_folder() / "choices.yaml").get(group, {})
    if group == "experiments":
        return [Choice(file.stem, about.get(file.stem, "")) for file in sorted(experiments_folder().glob("*.yaml"))]
    return [Choice(file.stem, about.get(file.stem, "")) for file in sorted((conf_folder() / group).glob("*.yaml"))]


def target_of(command: str, arguments: Sequence[str], group: str) -> str:
    """The dotted name of the class that the choice of a config group describes; empty if it describes none."""
    return str(_values_of(chosen(command, arguments)).get(group, {}).get("_target_", ""))


def about_table(table: str) -> tuple[str, str]:
    """What a table of the papers, or all of them, shows, and the arguments that run it."""
    sweeper = sweeper_of(table)
    return sweeper["about"], f"experiments={table} {sweeper['roots']}"


def rows_of_table(table: str) -> list[RowOfTable]:
    """The rows of a table in its order, then the other rows of its folder, from which rows of the table start."""
    folder = experiments_folder() / table
    first = sweeper_of(table)["rows"]
    others = sorted(file.stem for file in folder.glob("*.yaml") if file.stem not in first)
    rows = []
    for name in [*first, *others]:
        row = read_yaml(folder / f"{name}.yaml")["row"]
        published = row.get("published", {})
        rows.append(RowOfTable(name, (published.get("miou"), published.get("crf_miou")), row["notes"]))
    return rows


def all_keys(command: str, arguments: Sequence[str]) -> list[str]:
    """Every key of a command, those inside the chosen config groups included: ``model.rates`` as well as ``seed``.

    Args:
        command: such as ``train``.
        arguments: what is typed; groups that it does not choose have their default choice.
    """
    choices = chosen(command, arguments)
    names = dict.fromkeys([each.name for each in _described(SCHEMAS[command], whole=True)])
    for group in groups_of(command):
        names |= {group: None}
        file = conf_folder() / group / f"{choices[group]}.yaml"
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


def _default(each: dataclasses.Field[Any]) -> Any:
    if each.default_factory is not dataclasses.MISSING:
        return each.default_factory()
    return "" if each.default is dataclasses.MISSING else each.default


def _shown(value: Any, values: Mapping[str, Any]) -> str:
    """A default as it is typed; references to a single key of the chosen groups are followed, others are empty."""
    if value is None or isinstance(value, bool):
        return {None: "null", False: "false", True: "true"}[value]
    if isinstance(value, list):
        cells = [_shown(each, values) for each in value]
        return "" if "" in cells else f"[{','.join(cells)}]"
    if isinstance(value, dict):
        return ""
    if told := re.fullmatch(r"\$\{unless:\$\{([\w.]+)\},(\$\{[\w.]+\})\}", str(value)):
        if _select(values, told[1], None) is not None:
            return "null"
        value = told[2]
    refers = re.fullmatch(r"\$\{(?:oc\.select:)?([\w.]+)(?:,(\w+))?\}", str(value))
    if refers:
        return _shown(_select(values, refers[1], yaml.load(refers[2] or "''", LOADER)), values)
    return "" if "${" in str(value) else str(value)


def _select(content: Any, name: str, otherwise: Any) -> Any:
    for part in name.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return otherwise
        content = content[part]
    return content


def _follows(command: str) -> dict[str, Any]:
    """The defaults of a command's keys that follow from its groups."""
    entries = read_yaml(conf_folder() / f"{command}.yaml").get("defaults", [])
    found = read_yaml(conf_folder() / "follows.yaml") if "follows" in entries else {}
    return found or next((_follows(each) for each in entries if isinstance(each, str) and each in SCHEMAS), {})


def _values_of(choices: Mapping[str, str | None]) -> dict[str, Any]:
    """The content of each chosen group, and the keys outside of groups that an experiment or a recipe sets."""
    files = {group: conf_folder() / group / f"{choice}.yaml" for group, choice in choices.items()}
    told = keys_set(choices)
    of_groups = {group: merged(_values(file), told.get(group) or {}) for group, file in files.items() if file.is_file()}
    return {**told, **of_groups}


def _values(file: Path) -> dict[str, Any]:
    """The content of a choice's file on top of that of the files and the schema that it begins with."""
    content = read_yaml(file)
    found: dict[str, Any] = {}
    for entry in content.get("defaults", []):
        if (file.parent / f"{entry}.yaml").is_file():
            found |= _values(file.parent / f"{entry}.yaml")
    schema = _schema_of(file)
    found |= {each.name: each.default for each in _described(schema)} if schema else {}
    recipes = {**found.get("recipe", {}), **content.get("recipe", {})}
    own = {key: value for key, value in content.items() if key != "defaults"}
    return {**found, **own, **({"recipe": recipes} if recipes else {})}


def _schema_of(file: Path) -> type | None:
    """The schema that a choice's file begins with."""
    for entry in read_yaml(file).get("defaults", []):
        schema = re.match(r"/schema/(\w+)", str(entry))
        if schema:
            return SCHEMAS[schema[1]]
    return None


def _comments(file: Path) -> dict[str, str]:
    """The comments behind the keys of a choice's file, and of the files that it begins with."""
    found: dict[str, str] = {}
    for entry in read_yaml(file).get("defaults", []):
        if (file.parent / f"{entry}.yaml").is_file():
            found |= _comments(file.parent / f"{entry}.yaml")
    return found | dict(re.findall(r"^(\w+):.* # (.+)$", file.read_text(), re.M))


def _of_file(file: Path, group: str) -> Iterator[str]:
    for entry in read_yaml(file).get("defaults", []):
        schema = re.match(r"/schema/(\w+)", entry)
        if schema:
            yield from (each.name for each in _described(SCHEMAS[schema[1]], f"{group}.", whole=True))
        elif (file.parent / f"{entry}.yaml").is_file():
            yield from _of_file(file.parent / f"{entry}.yaml", group)
    yield from _nested({key: value for key, value in read_yaml(file).items() if key != "defaults"}, f"{group}.")


def _nested(content: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _nested(value, f"{prefix}{key}.")

"""The package is laid out as docs/architecture.md says: one direction between folders, no circle, names that differ."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import deeplab_lit
from deeplab_lit.cli.commands import COMMANDS
from tests.conftest import ROOT

PACKAGE = Path(deeplab_lit.__file__).parent
FOLDERS = re.findall(r"^\| `(\w+)/` \|", (ROOT / "docs" / "architecture.md").read_text(), re.M)


def modules():
    """Dotted name below the package -> file."""
    files = [file for file in PACKAGE.rglob("*.py") if "conf" not in file.parts]
    return {".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file):
    """The modules of this package that a file imports, anywhere in it, for types too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "deeplab_lit":
            for each in node.names:
                whole = f"{node.module}.{each.name}".removeprefix("deeplab_lit.")
                yield whole if whole in KNOWN else node.module.removeprefix("deeplab_lit").lstrip(".")
        elif isinstance(node, ast.Import):
            yield from (each.name.removeprefix("deeplab_lit.") for each in node.names if "deeplab_lit" in each.name)


KNOWN = modules()
ARROWS = {name: {each for each in imports(file) if each in KNOWN and each != name} for name, file in KNOWN.items()}


def test_the_root_holds_entry_points_and_folders_alone():
    files = {file.stem for file in PACKAGE.glob("*.py")}
    assert files == set(COMMANDS) | {"__init__", "__main__"}
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert folders == set(FOLDERS) and (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_from_folders_below_it(folder):
    below = {*FOLDERS[: FOLDERS.index(folder) + 1]}
    for name, targets in ARROWS.items():
        if name.split(".")[0] == folder:
            wrong = {each for each in targets if each.split(".")[0] not in below}
            assert not wrong, f"{name} imports {wrong}"


def test_the_picture_shows_each_folder():
    shown = re.findall(r"<text[^>]*>(\w+)/</text>", (ROOT / "docs" / "architecture.svg").read_text())
    assert sorted(shown) == sorted(FOLDERS)


def test_an_entry_point_calls_the_file_of_its_name():
    for command in COMMANDS:
        own = {each for each in ARROWS[command] if each.split(".")[-1] == command}
        assert len(own) == 1 and own.pop().split(".")[0] in FOLDERS, command


def test_no_file_imports_itself_by_a_detour():
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for each in sorted(ARROWS[name]):
                visit(each)
            path.pop()
            done.add(name)

    for name in sorted(KNOWN):
        if name:
            visit(name)


def test_nothing_of_this_package_is_imported_through_a_string():
    for name, file in KNOWN.items():
        text = file.read_text()
        if name not in ("utils.instantiate", "cli.program"):  # classes that configs name, and commands
            assert not re.search(r"import_module\(|__import__\(|run_module\(", text), name


def test_no_two_files_share_a_name():
    places = defaultdict(list)
    for name in KNOWN:
        if name and not (PACKAGE / name.replace(".", "/") / "__init__.py").exists():
            places[name.split(".")[-1]].append(name)
    for stem, names in places.items():
        ours = [name for name in names if name not in COMMANDS]
        assert len(ours) == 1, (stem, names)
        assert not (stem.endswith("ing") and {stem[:-3], f"{stem[:-3]}e"} & set(places)), stem


def test_tests_stand_where_what_they_test_stands():
    folders = {file.parent.name for file in (ROOT / "tests").glob("*/test_*.py")}
    assert folders - {"end_to_end", "faults", "security"} <= set(FOLDERS)
    assert {file.name for file in (ROOT / "tests").glob("test_*.py")} == {
        "test_architecture.py", "test_benchmarks.py", "test_docs.py", "test_docs_extending.py", "test_docs_results.py",
        "test_examples.py", "test_readme.py",
    }  # fmt: skip

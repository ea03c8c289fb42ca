"""What the README says of the configuration is what the configuration is."""

import re
import tomllib

from deeplab_lit.cli.reference import groups_of
from deeplab_lit.config.paths import conf_folder
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_it_is_read_in_one_sitting():
    assert len(README.splitlines()) <= 150


def test_every_extra_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = README.split("Extras, as in ", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"`(\w+)`", told)) == set(project["optional-dependencies"]) - {"dev", "docs"}
    lowest, highest = re.findall(r"3\.(\d+)", project["requires-python"])
    assert f"Python 3.{lowest}, 3.12 or 3.{int(highest) - 1}" in README


def test_the_table_lists_every_group_with_its_choices_and_defaults():
    section = README.split("## Choose parts", 1)[1].split("\n## ", 1)[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.M))
    defaults = {**groups_of("train"), **groups_of("tune")}
    groups = {folder.name for folder in conf_folder().iterdir() if folder.is_dir()}
    assert set(rows) == groups
    for group, cell in rows.items():
        choices = {choice.strip().strip("*") for choice in cell.split(",")}
        assert choices == {file.stem for file in (conf_folder() / group).glob("*.yaml")}, group
        assert re.findall(r"\*\*(\w+)\*\*", cell) == [defaults[group]] * (defaults[group] is not None), group


def test_the_yaml_files_stay_small():
    for file in conf_folder().glob("*/*.yaml"):
        assert len(file.read_text().splitlines()) <= 30, file


def test_pictures_and_files_that_the_readme_names_exist():
    for path in re.findall(r"!\[.*?\]\((.+?)\)", README) + re.findall(r"`((?:src|conf|tests)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path

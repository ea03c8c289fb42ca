"""Every dependency is on the list of licenses, and none binds those who build on this library."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_is_listed_and_none_is_copyleft():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for name, some in project["optional-dependencies"].items() if name != "dev" for each in some]
    wanted = {re.match(r"[\w-]+", each)[0] for each in (*project["dependencies"], *extras)}
    rows = re.findall(r"^\| ([\w-]+) \| (.+) \|$", (ROOT / "docs" / "licenses.md").read_text(), re.MULTILINE)
    listed = {name: license for name, license in rows if name != "package"}
    assert listed.keys() == wanted
    assert not [name for name, license in listed.items() if re.search("GPL|CC-BY-NC|proprietary", license)]
    assert "albumentations==2.0.8" in project["dependencies"]  # its successor is AGPL

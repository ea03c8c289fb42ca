"""Every dependency is on the list of licenses, and none binds those who build on this library."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
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


def test_no_installed_package_that_is_needed_is_copyleft():
    """By what each package says of itself, through all that they need in turn."""
    seen, waiting, copyleft = set(), ["deeplab_lit"], re.compile("GPL|General Public License")
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = distribution(name)
        except PackageNotFoundError:  # of another system, or of an extra that is not installed
            continue
        about = package.metadata
        said = [about.get("License-Expression") or "", (about.get("License") or "").partition("\n")[0]]
        said += [each for each in about.get_all("Classifier") or [] if each.startswith("License")]
        assert not [each for each in said if copyleft.search(each)], (name, said)
        own = name == "deeplab-lit"
        waiting += [re.match(r"[\w.-]+", each)[0] for each in package.requires or [] if own or "extra ==" not in each]
    assert len(seen) > 50

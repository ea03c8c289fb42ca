"""What the docs say of the code is what the code is."""

import dataclasses
import re

from deeplab_lit.training.result import Result
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def test_the_page_on_results_is_the_schema():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", (DOCS / "result.md").read_text(), re.M)
    assert rows == [(each.name, each.metadata["meaning"]) for each in dataclasses.fields(Result)]


def test_pages_name_files_and_pages_that_exist():
    for page in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        text = page.read_text()
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (page.parent / link).exists(), (page.name, link)
        for path in re.findall(r"`((?:src|tests|conf|experiments|benchmarks)/[a-z_0-9/.]+)`", text):
            assert (ROOT / path).exists(), (page.name, path)

"""docs/results.md and its pictures are what the kept results say."""

import importlib.util
import json
import re

import pytest

from tests.conftest import ROOT
from tests.reports.test_report import TABLE, write_run

spec = importlib.util.spec_from_file_location("results", ROOT / "docs" / "results.py")
RESULTS = importlib.util.module_from_spec(spec)
spec.loader.exec_module(RESULTS)
KEPT = sorted(RESULTS.KEPT.glob("*.json"))


def test_the_page_and_the_pictures_are_those_of_the_kept_results():
    page = RESULTS.PAGE.read_text()
    assert RESULTS.filled(page) == page, "python docs/results.py writes them anew"
    for path in KEPT:
        assert path.with_suffix(".svg").read_text() == RESULTS.as_svg(RESULTS.kept(path)), "python docs/results.py"
        assert f"<!-- begin {path.stem} -->" in page


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_kept_results_say_how_they_came_about_and_nothing_of_the_machine(path):
    content = path.read_text()
    assert not re.search(r"/(tmp|home|root|work|Users)/", content)
    for run in json.loads(content)["runs"]:
        assert "commit" in run["result"]["code"] and "changes" not in run["result"]["code"]
        assert f"experiments={run['result']['row']['table']}" in run["result"]["command"]


def test_what_is_kept_is_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(RESULTS, "KEPT", tmp_path)
    for seed, (before, after) in enumerate(((60.0, 61.5), (62.0, 64.5), (61.0, 63.0))):
        write_run(tmp_path, "baseline", "mini", seed, before)
        write_run(tmp_path, "msc", "mini", seed, after)
    (path,) = RESULTS.keep(tmp_path / "runs" / TABLE)
    text = RESULTS.measured(path.stem)
    # by hand: 60, 62, 61 have the mean 61 and the deviation 1; the gains are 1.5, 2.5 and 2
    (baseline,) = [line for line in text.splitlines() if line.startswith("| baseline |")]
    (msc,) = [line for line in text.splitlines() if line.startswith("| msc |")]
    assert "| 68.72 | 61.00 ± 1.00 |" in baseline
    assert "| 63.00 ± 1.50 | +2.55 | +2.00 ± 0.50 | +0.76 to +3.24 |" in msc
    assert "Seeds 0, 1, 2" in text and str(tmp_path) not in path.read_text()

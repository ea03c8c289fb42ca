"""Every benchmark still runs, with the least work that it can do; no time is asserted."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in ("common", "run"))


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: importlib.import_module(name)
    for name in [*NAMES, "common", "run"]:
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs(scripts, name, capsys):
    if name in ("crf", "evaluate"):
        pytest.importorskip("pydensecrf", reason="the peer that it measures against")
    scripts(name).main(["--quick"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) >= 4, "no table"
    assert len({line.count("|") for line in lines[:3]}) == 1


def test_the_page_has_a_section_for_each_and_keeps_those_not_run(scripts, tmp_path, monkeypatch):
    run = scripts("run")
    assert sorted(run.WHOLE) == NAMES
    page = tmp_path / "README.md"
    page.write_text("# old\n\n## crf.py\n\nmeasured before\n\n## data.py\n\nold\n")
    monkeypatch.setattr(run, "README", page)
    monkeypatch.setattr(run, "section", lambda name, given: f"## {name}.py\n\nnew\n")
    run.main(["--only", "data", "network"])
    found = [part.split() for part in page.read_text().split("## ")[1:]]
    assert found == [["data.py", "new"], ["network.py", "new"], ["crf.py", "measured", "before"]]
    given = type("Given", (), {"root": "/here/VOC", "checkpoint": None, "jemalloc": None})
    assert run.arguments(given, "--root --checkpoint --images 40 --trade-off") == [
        "--root", "/here/VOC", "--images", "40", "--trade-off",
    ]  # fmt: skip

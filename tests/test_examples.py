"""The notebooks of examples/ run from their first cell to their last."""

import json

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_notebooks_are_kept_without_outputs():
    assert len(NOTEBOOKS) == 5
    for file in NOTEBOOKS:
        cells = json.loads(file.read_text())["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")], file.name


@pytest.mark.long
@pytest.mark.parametrize("file", NOTEBOOKS, ids=[file.stem for file in NOTEBOOKS])
def test_it_runs(file, tmp_path, monkeypatch):
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("DEEPLAB_LIT_EXAMPLE_STEPS", "4")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    book = nbformat.read(file, as_version=4)
    client.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    printed = "".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", []))
    assert "Traceback" not in printed and "error:" not in printed, printed

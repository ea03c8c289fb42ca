"""Every benchmark still runs, with the least work that it can do; no time is asserted."""

import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
STEMS = [file.stem for file in FOLDER.glob("*.py")]
NAMES = sorted(stem for stem in STEMS if stem not in ("common", "run") and not stem.startswith("gpu"))


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: importlib.import_module(name)
    for name in STEMS:
        sys.modules.pop(name, None)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_it_runs(scripts, name, capsys):
    if name in ("crf", "crf_compat", "evaluate"):
        pytest.importorskip("pydensecrf", reason="the peer that it measures against")
    scripts(name).main(["--quick"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) >= 4, "no table"
    assert len({line.count("|") for line in lines[:3]}) == 1


def test_the_page_has_a_section_for_each_and_keeps_those_not_run(scripts, tmp_path, monkeypatch):
    run = scripts("run")
    assert sorted(run.WHOLE) == NAMES
    page = tmp_path / "README.md"
    page.write_text("# old\n\n## gpu.py\n\non a card\n\n## crf.py\n\nmeasured before\n\n## data.py\n\nold\n")
    monkeypatch.setattr(run, "README", page)
    monkeypatch.setattr(run, "section", lambda name, given: f"## {name}.py\n\nnew\n")
    run.main(["--only", "data", "network"])
    found = [part.split() for part in page.read_text().split("## ")[1:]]
    assert found[:3] == [["data.py", "new"], ["network.py", "new"], ["crf.py", "measured", "before"]]
    assert found[3:] == [["gpu.py", "on", "a", "card"]]
    given = type("Given", (), {"root": "/here/VOC", "checkpoint": None, "jemalloc": None})
    assert run.arguments(given, "--root --checkpoint --images 40 --trade-off") == [
        "--root", "/here/VOC", "--images", "40", "--trade-off",
    ]  # fmt: skip


@pytest.mark.long
def test_all_of_the_gpu_benchmark_runs_in_small_on_a_cpu_and_leaves_the_page_alone(scripts, capsys):
    before = (FOLDER / "README.md").read_text()
    gpu = scripts("gpu")
    gpu.main(["--device", "cpu", "--quick"])  # it ends with status 1 if a section fails
    text = capsys.readouterr().out
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == [
        *(title for title, _ in gpu.SECTIONS.values()), "Aims"
    ]  # fmt: skip
    assert text.count("|---|") >= len(gpu.SECTIONS) and "failed" not in text
    assert (FOLDER / "README.md").read_text() == before


def test_a_section_that_fails_is_named_and_the_aims_say_by_how_much_they_are_missed(scripts, capsys):
    gpu = scripts("gpu")
    place = gpu.Place(gpu.torch.device("cpu"), quick=True)

    def fails(place):
        raise ValueError("no\nreason")

    assert not gpu.attempt(place, "A section", fails)
    assert "A section failed: ValueError: no reason" in capsys.readouterr().out
    place.tell("training over plain", 1.5)
    place.tell("training over plain", 0.65)
    gpu.summary(place)
    first, second, *_ = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert first.endswith("at least 1.3: not met, 0.65 to 1.5, 0.5 times the aim") and second.endswith("not measured")


def test_a_whole_run_on_a_gpu_alone_is_put_on_the_page(scripts, tmp_path, monkeypatch):
    gpu, run = scripts("gpu"), scripts("run")
    page = tmp_path / "README.md"
    page.write_text("# old\n\n## crf.py\n\nmeasured before\n\n## gpu.py\n\nnot run on a GPU yet\n")
    monkeypatch.setattr(run, "README", page)
    monkeypatch.setattr(gpu, "set_tf32", lambda wanted: None)
    card = SimpleNamespace(name="A card", total_memory=2**34, major=9, minor=0)
    for name, value in (("is_available", True), ("get_device_properties", card), ("device_count", 1)):
        monkeypatch.setattr(gpu.torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(gpu, "SECTIONS", {"one": ("One thing", lambda place: print("| a table |"))})
    gpu.main(["--quick"])
    assert "not run on a GPU yet" in page.read_text()
    gpu.main([])
    assert re.search(
        r"## crf.py\n\nmeasured before\n\n## gpu.py\n.*1 x A card, 16 GiB.*\| a table \|", page.read_text(), re.S
    )


def test_what_the_plain_loop_trains_has_the_parameters_of_ours(scripts):
    training, plain = scripts("gpu_training"), scripts("gpu_plain")
    place = training.Place(training.torch.device("cpu"), quick=True)
    config = place.config(33)
    ours = training.network_of(config)
    theirs = plain.PlainDeepLab(place.depth, training.CLASSES, config.model["hidden"])
    both = [sorted(tuple(each.shape) for each in network.parameters()) for network in (ours, theirs)]
    assert both[0] == both[1]
    trained = [sum(each.numel() for each in network.parameters() if each.requires_grad) for network in (ours, theirs)]
    assert trained[0] == trained[1]

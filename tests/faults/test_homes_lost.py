"""Commands of a user whom the machine does not know, without a home, in folders that only others write to."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.running import AS_NOBODY, needs_nobody, train, use_alone
from tests.end_to_end.test_train import TINIEST, run_folder

pytestmark = [pytest.mark.slow, needs_nobody]
TRAIN = [*TINIEST, "logger=csv"]
COMMANDS = {
    "train": TRAIN,
    "evaluate": ["checkpoint=best.ckpt", "device=cpu"],
    "predict": ["checkpoint=best.ckpt", "images=photos", "out=labels", "device=cpu"],
    "refine": ["images=photos", "probabilities=scores", "out=refined", "crf=v2_resnet101"],
    "check_data": ["data.train_images=24", "data.val_images=5"],
    "crf_search": ["checkpoint=best.ckpt", "images=2", "held_out=2", "device=cpu"],
    "export": ["checkpoint=best.ckpt", "format=safetensors", "out=out.safetensors"],
    "convert": ["source=best.ckpt", "out=out.safetensors"],
    "tune": [*TRAIN, "search.trials=1"],
    "push": ["checkpoint=best.ckpt", "repo=a/b", "folder=pushed"],
}
OUTPUTS = {"export": "out", "convert": "out", "predict": "out", "refine": "out", "push": "folder"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a checkpoint, a photograph and its probabilities, which only root writes to."""
    folder = tmp_path_factory.mktemp("place")
    train(folder, *TRAIN)
    (run_folder(folder) / "checkpoints" / "best.ckpt").rename(folder / "best.ckpt")
    shutil.rmtree(folder / "runs")
    (folder / "photos").mkdir()
    (folder / "scores").mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / "photos" / "a.png")
    scores = rng.random((4, 60, 80), np.float32)
    np.save(folder / "scores" / "a.npy", scores / scores.sum(0))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def temporary():
    """A folder that everybody writes to, not below pytest's, which only its user enters."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def env(temporary):
    return {"HOME": None, "DEEPLAB_LIT_CACHE": None, "TMPDIR": str(temporary)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_not_mine_is_refused_before_any_work(place, env, name):
    done = use_alone(name, place, *COMMANDS[name], expect=1, env=env, nobody=True)
    key = OUTPUTS.get(name, "output")
    assert done.stderr.startswith(f"error: {key}=") and done.stderr.count("\n") == 1, done.stderr
    assert f"type {key}=PATH" in done.stderr and str(place) in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "train" else pytest.mark.long) for name in COMMANDS],
)
def test_it_works_without_a_home_after_one_sentence(place, env, temporary, name):
    shutil.copytree(place, temporary / "mine")
    (temporary / "mine").chmod(0o777)
    done = use_alone(name, temporary / "mine", *COMMANDS[name], env=env, nobody=True)
    said = [line for line in done.stderr.splitlines() if line]
    assert len(said) == 1 and said[0].startswith("there is no home, so what is made or fetched once goes to "), said
    for words in ("Warning", "atplotlib", "numba", "Traceback", "Errno"):
        assert words not in done.stdout, done.stdout
    assert "~" not in {path.name for path in (temporary / "mine").iterdir()}


@pytest.mark.parametrize(
    ("variables", "words", "said"),
    [
        ({"DEEPLAB_LIT_CACHE": "."}, "", "set DEEPLAB_LIT_CACHE to a folder"),
        ({}, "data.cache=drawn", "type data.cache=PATH"),
        ({}, "-m seed=0,1", "type output=PATH"),
        ({}, "--config-dir nowhere", "there is no folder"),
    ],
)
def test_other_folders_have_a_sentence_too(place, env, temporary, variables, words, said):
    output = "" if "-m" in words else f"output={temporary}"
    done = use_alone("train", place, words, *TRAIN, output, expect=1, env={**env, **variables}, nobody=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and said in last and "Traceback" not in done.stderr, done.stderr


def test_a_network_is_used_from_python_without_a_home(place, env):
    script = "import deeplab_lit; print(deeplab_lit.load('best.ckpt').predict('photos/a.png').shape)"
    merged = {key: value for key, value in {**os.environ, **env}.items() if value is not None}
    whole = [*AS_NOBODY, sys.executable, "-c", script]
    done = subprocess.run(whole, cwd=place, env=merged, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "(60, 80)" and done.stderr.count("\n") <= 1, done.stdout + done.stderr

"""The backbone that the documentation adds, from its text to a graph, as a user goes: by commands in a shell."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deeplab_lit
from tests.conftest import ROOT
from tests.end_to_end.running import use
from tests.end_to_end.test_train import TINY, run_folder

TEXT = (ROOT / "docs" / "extending.md").read_text().split("\n## A trunk\n", 1)[1].split("\n## ", 1)[0]
"""The section of the documentation."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def shell(folder, line, expect=0):
    """What a command prints in a shell, in which ``python`` is this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path}, timeout=300
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """The folder of a user who has written the files of the section and typed its command."""
    folder = tmp_path_factory.mktemp("user")
    for block in [*blocks("python"), *blocks("yaml")]:
        file = folder / block.split("\n", 1)[0].removeprefix("# ")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block)
    (train,) = blocks("bash")
    # the user has the package installed, and PYTHONPATH for the trunk alone
    train = train.strip().replace("PYTHONPATH=.", f"PYTHONPATH=.:{ROOT / 'src'}")
    shell(folder, f"{train} {' '.join(TINY)}")
    (folder / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "a.png")
    (run_folder(folder) / "checkpoints" / "best.ckpt").rename(folder / "best.ckpt")
    return folder


COMMANDS = {
    "evaluate": "checkpoint=best.ckpt device=cpu output=scores",
    "predict": "checkpoint=best.ckpt images=photos out=labels device=cpu",
    "export": "checkpoint=best.ckpt format=onnx",
    "push": "checkpoint=best.ckpt repo=a/b folder=pushed",
    "crf_search": "checkpoint=best.ckpt device=cpu output=searches images=2 held_out=2",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_to_type_and_that_works(user, name):
    said = use(name, user, COMMANDS[name], expect=1).stderr
    (added,) = re.findall(r"type (allow=\S+)\.$", said.strip())
    assert said.startswith("error: the file names backbone 'tiny_trunk.TinyTrunk'") and said.count("\n") == 1
    if name in ("predict", "export"):  # the others go on in the same way
        shell(user, f"PYTHONPATH=.:{ROOT / 'src'} python -m deeplab_lit.{name} {COMMANDS[name]} {added}")
    if name == "predict":
        assert np.array(Image.open(user / "labels" / "masks" / "a.png")).shape == (60, 80)
    if name == "export":
        labels = deeplab_lit.load(user / "best.onnx").predict(user / "photos" / "a.png")
        assert labels.shape == (60, 80)


@pytest.mark.slow
def test_it_is_loaded_from_python(user):
    with pytest.raises(ValueError, match=r'type allow=\["tiny_trunk"\]\.$') as caught:
        deeplab_lit.load(user / "best.ckpt")
    (added,) = re.findall(r"allow=\S+\]", str(caught.value))
    script = f'import deeplab_lit; print(deeplab_lit.load("best.ckpt", {added}).predict("photos/a.png").shape)'
    printed = shell(user, f"PYTHONPATH=.:{ROOT / 'src'} python -c {shlex.quote(script)}")
    assert printed.strip() == "(60, 80)"


@pytest.mark.slow
@pytest.mark.parametrize("allow", [["tiny_trunk"], ["tiny_trunk."], ["tiny_trunk.TinyTrunk"]])
def test_a_package_is_allowed_with_and_without_a_dot(user, allow, monkeypatch):
    monkeypatch.syspath_prepend(str(user))
    assert deeplab_lit.load(user / "best.ckpt", allow=allow).predict(user / "photos" / "a.png").shape == (60, 80)

"""The examples of docs/extending.md, taken out of the page and run as they stand."""

import csv
import importlib.util
import math
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import deeplab_lit
from deeplab_lit.models import ASPP, DeepLab, ResNet
from tests.conftest import ROOT
from tests.end_to_end.test_train import TINY

SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "extending.md").read_text(), re.M | re.S))
ARGUMENTS = [each for each in TINY if not each.startswith(("data.", "model."))]


def take(section, folder):
    """Write the files of a section and apply its changes; gives its command lines."""
    commands = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", SECTIONS[section], re.M | re.S):
        if language == "bash":
            commands += text.splitlines()
        elif language == "diff":
            subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=folder, input=text, text=True, check=True)
        else:
            file = folder / text.splitlines()[0].removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return commands


def run(folder, line, *more):
    """Run a command line of the page in a folder; gives what it prints."""
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if word.startswith("PYTHONPATH="))
    words = words[len(variables) :]
    assert words[0] == "python"
    path = os.pathsep.join([*variables.values(), str(folder / "src" if (folder / "src").is_dir() else ROOT / "src")])
    done = subprocess.run(
        [sys.executable, *words[1:], *more],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metrics(folder):
    (file,) = folder.glob("runs/*/*/metrics.csv")
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


@pytest.fixture
def clone(tmp_path):
    """A copy of the library, to be changed."""
    for name in ("src", "conf", "experiments"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


SHAPES = ["data.train_images=24", "data.val_images=5"]


@pytest.mark.slow
def test_a_trunk(tmp_path):
    (line,) = take("A trunk", tmp_path)
    run(tmp_path, line, *ARGUMENTS, *SHAPES)
    (best,) = tmp_path.glob("runs/shapes-tiny-largefov/*/checkpoints/best.ckpt")
    check = "import deeplab_lit, sys; print(deeplab_lit.load(sys.argv[1], allow=['tiny_trunk']).network.trunk)"
    (tmp_path / "load.py").write_text(check)
    assert "TinyTrunk" in run(tmp_path, f"PYTHONPATH=. python load.py {best}")


@pytest.mark.slow
def test_a_head(tmp_path):
    (line,) = take("A head", tmp_path)
    run(tmp_path, line, *ARGUMENTS, *SHAPES, "backbone=timm", "backbone.name=test_resnet")
    assert list(tmp_path.glob("runs/shapes-timm-pooled/*/result.json"))


@pytest.mark.slow
def test_a_data_set(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        (tmp_path / "mine" / split).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((60, 72), np.uint8)
            mask[10:40, 20 : 30 + number] = 1
            image = rng.integers(0, 255, (60, 72, 3), np.uint8)
            Image.fromarray(mask).save(tmp_path / "mine" / split / f"{number}_L.png")
            Image.fromarray(image).save(tmp_path / "mine" / split / f"{number}.png")
    check, train = take("A data set", tmp_path)
    said = run(tmp_path, check)
    assert "6 " in said and "thing" in said
    said = run(tmp_path, train, *ARGUMENTS, "backbone=timm", "backbone.name=test_resnet")
    assert "6 training and 2 validation images, 2 classes" in said
    (tmp_path / "mine" / "val").rename(tmp_path / "mine" / "test")
    with pytest.raises(AssertionError, match=r"error: .*val holds no NAME_L.png"):
        run(tmp_path, train, *ARGUMENTS)


def test_a_format_of_weights(tmp_path):
    (line,) = take("A format of weights", tmp_path)
    torch.manual_seed(0)
    theirs = DeepLab(ResNet(18, stride_on="3x3", ceil_mode=False), ASPP(512, 21), align_corners=True).eval()
    renamed = {
        name.replace("trunk.", "encoder.")
        .replace("head.branches.", "decoder.")
        .replace(".classifier.", ".conv."): value
        for name, value in theirs.state_dict().items()
    }
    assert "decoder.0.conv.weight" in renamed
    torch.save(renamed, tmp_path / "theirs.pth")
    run(tmp_path, line)
    ours = deeplab_lit.load(tmp_path / "ours.ckpt")
    image = torch.randn(1, 3, 65, 65)
    torch.testing.assert_close(ours.network(image), theirs(image), rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_a_schedule(clone):
    (line,) = take("A schedule", clone)
    run(
        clone,
        line,
        *ARGUMENTS,
        *SHAPES,
        "backbone=timm",
        "backbone.name=test_resnet",
        "optimizer.warmup=0",
        "optimizer.lr=1",
    )
    rates = [float(row["lr/new_weight"]) for row in metrics(clone) if row.get("lr/new_weight")]
    assert rates == pytest.approx([(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)], rel=1e-4)
    assert re.search(r"cosine +Half a cosine\.", run(clone, "python -m deeplab_lit.train --help"))


@pytest.mark.long
def test_a_loss(clone):
    (line,) = take("A loss", clone)
    arguments = [*ARGUMENTS, *SHAPES, "backbone=timm", "backbone.name=test_resnet", "optimizer.lr=0.002"]
    losses = []
    for each in (line, line.replace("gamma=2", "gamma=0")):
        run(clone, each, *arguments)
        losses.append(float(next(row["train/loss"] for row in metrics(clone) if row.get("train/loss"))))
        shutil.rmtree(clone / "runs")
    assert 0 < losses[0] < losses[1]

    spec = importlib.util.spec_from_file_location("focal", clone / "src/deeplab_lit/training/focal.py")
    focal = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(focal)
    scores, labels = torch.randn(2, 3, 5, 5), torch.randint(0, 3, (2, 5, 5), dtype=torch.uint8)
    labels[0, 0] = 255
    places = [(n, y, x) for n in range(2) for y in range(5) for x in range(5) if labels[n, y, x] != 255]
    right = torch.stack([scores.softmax(1)[n, int(labels[n, y, x]), y, x] for n, y, x in places])
    torch.testing.assert_close(focal.Focal(2.0)(scores, labels, True, None), (-((1 - right) ** 2) * right.log()).sum())
    plain = F.cross_entropy(scores, labels.long(), ignore_index=255, reduction="sum")
    torch.testing.assert_close(focal.Focal(0.0)(scores, labels, True, None), plain)

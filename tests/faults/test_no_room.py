"""A disk that is full, by a limit on the size of files that is set while a training runs."""

import errno
import os
import resource
import subprocess
import time

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab_lit.data import drawing
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.weights.description import describe
from tests.end_to_end.running import command, train, use
from tests.end_to_end.test_train import TINIEST, rows, run_folder
from tests.inference.test_trained import LABELS, SPEC, save

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of Linux")]


def end(process, within=120):
    out, err = process.communicate(timeout=within)
    assert process.returncode == 1, out + err
    assert "could not be written: " in err and "Make room" in err and "Traceback" not in err, err
    assert "Error executing job" not in err, err
    return err


@pytest.mark.long
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    arguments = [*TINIEST, "logger=csv", "max_steps=40", "val_every=4", "num_workers=0", "pictures=0"]
    whole = command("train", *arguments, "resume=auto")
    process = subprocess.Popen(whole, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (found := list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt"))):
        time.sleep(0.02)
        assert process.poll() is None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    assert ".ckpt could not be written" in end(process)
    step = torch.load(found[0], weights_only=True)["global_step"]
    assert 4 <= step < 40
    assert not [file for file in found[0].parent.iterdir() if file.name not in ("best.ckpt", "last.ckpt")]
    subprocess.run(whole, cwd=tmp_path, check=True, capture_output=True, timeout=200)
    assert [int(row["step"]) for row in rows(run_folder(tmp_path)) if row["train/loss"]] == list(range(40))


def test_a_picture_that_does_not_fit_costs_no_training(tmp_path, monkeypatch):
    arguments = [*TINIEST, "logger=csv", "max_steps=4", "num_workers=0", "pictures=2", "resume=auto"]

    def full(picture, path, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(drawing, "save_image", full)
        done = train(tmp_path, *arguments, expect=1)
    assert "could not be written: No space left" in done.stderr and "Make room" in done.stderr
    assert "step 4/4" in done.stdout
    folder = run_folder(tmp_path)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert train(tmp_path, *arguments).stdout.count("step 4/4") == 0, "trained again"
    assert run_folder(tmp_path) == folder and list((folder / "pictures").iterdir())
    assert [int(row["step"]) for row in rows(folder) if row["train/loss"]] == list(range(4))


def test_predictions_that_do_not_fit_leave_those_before(tmp_path):
    """Overlays, larger from photograph to photograph."""
    save(tmp_path / "net.ckpt", deeplab_lit=describe(SPEC, LABELS, Normalization(), eval_size=65))
    (tmp_path / "photos").mkdir()
    for side in (40, 60, 300):
        noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{side:03}.png")
    words = "checkpoint=net.ckpt images=photos out=out"
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))}
    pipes = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    assert "300.png could not be written" in end(subprocess.Popen(command("predict", words), **limit, **pipes))
    overlays = tmp_path / "out" / "overlays"
    assert sorted(file.name for file in overlays.iterdir()) == ["040.png", "060.png"]
    before = [(overlays / name).read_bytes() for name in ("040.png", "060.png")]
    use("predict", tmp_path, words)
    assert sorted(file.name for file in overlays.iterdir()) == ["040.png", "060.png", "300.png"]
    assert [(overlays / name).read_bytes() for name in ("040.png", "060.png")] == before


@pytest.mark.long
def test_a_cache_that_does_not_fit_is_no_cache(tmp_path):
    """The pictures of the embedded data set."""
    env = {**os.environ, "DEEPLAB_LIT_CACHE": str(tmp_path / "cache")}
    arguments = [*TINIEST, "logger=csv", "max_steps=2", "data.train_images=4", "data.val_images=4"]

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))

    options = {"cwd": tmp_path, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    end(subprocess.Popen(command("train", *arguments), preexec_fn=limited, **options))
    assert not [file for file in (tmp_path / "cache").iterdir() if file.is_dir()]
    done = subprocess.run(command("train", *arguments), cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

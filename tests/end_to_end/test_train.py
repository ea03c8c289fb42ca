"""The entry point as a user runs it: by its command, in a folder of their own."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab_lit.train import main
from tests.conftest import write_voc
from tests.end_to_end.running import command, train, train_alone

TINY = [
    "data.train_images=24", "data.val_images=5", "max_steps=4", "val_every=2", "batch_size=2", "crop_size=49",
    "num_workers=0", "model.rate_scale=0.2", "trainer.accelerator=cpu", "trainer.precision=32-true", "logger=csv",
    "trainer.log_every_n_steps=1", "pictures=2", "crf=none",
]  # fmt: skip
TINIEST = [*TINY, "backbone=timm", "backbone.name=test_resnet", "optimizer.lr=0.002"]


_SPEED = "train/images_per_second"


def run_folder(folder):
    (found,) = (path.parent for path in Path(folder).glob("runs/*/*/config.yaml"))
    return found


def rows(run):
    """metrics.csv, without the one column that no run repeats."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != _SPEED} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    done = train_alone(folder, *TINY)
    return done, run_folder(folder)


def test_it_ends_with_the_table_the_miou_and_the_folder(finished):
    done, run = finished
    text = done.stdout + done.stderr
    for name in ("background", "ball", "lamp"):
        assert re.search(rf"^{name}\s+(0\.\d+|-)", text, re.M), text
    assert re.search(r"mIoU 0\.\d+", text) and str(Path(*run.parts[-3:])) in text
    assert "24 training and 5 validation images, 12 classes" in text and "Traceback" not in text
    assert "Warning" not in text and "💡" not in text, text


def test_the_run_directory_is_complete(finished):
    _, run = finished
    names = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    assert {
        "config.yaml", "metrics.csv", "result.json", "train.log", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "pictures/validation.png",
    } <= names  # fmt: skip
    result = json.loads((run / "result.json").read_text())
    assert (
        result["steps"] == 4
        and result["seconds"] > 0
        and result["command"].startswith("python -m deeplab_lit.train data.")
    )
    assert set(result["per_class_iou"]) == {
        "background",
        *["ball", "ring", "star", "wall", "zebra", "chess", "leaf", "boat", "sled", "flag", "lamp"],
    }
    known = [iou for iou in result["per_class_iou"].values() if iou is not None]
    assert result["miou"] == pytest.approx(np.mean(known)) and 0 <= result["pixel_accuracy"] <= 1
    table = rows(run)
    assert [int(row["step"]) for row in table if row["train/loss"]] == [0, 1, 2, 3]
    assert sum(bool(row["val/miou"]) for row in table) == 2
    best = max(float(row["val/miou"]) for row in table if row["val/miou"])
    assert result["miou"] == pytest.approx(best, abs=1e-4)


def test_the_checkpoint_alone_rebuilds_the_network(finished):
    import deeplab_lit.inference.trained as checkpoints

    _, run = finished
    trained = checkpoints.load(run / "checkpoints" / "best.ckpt")
    assert trained.labels.names[-1] == "lamp" and trained.normalization.mean[0] == 127
    with torch.no_grad():
        assert trained.network.scores(torch.randn(1, 3, 50, 61)).shape == (1, 12, 50, 61)


def test_the_picture_shows_rows_of_four(finished):
    _, run = finished
    picture = np.array(Image.open(run / "pictures" / "validation.png"))
    assert picture.ndim == 3 and picture.shape[1] > 4 * 224 and picture.std() > 20


def content(run):
    return {file: file.read_bytes() for file in sorted(run.parents[1].rglob("*")) if file.is_file()}


@pytest.mark.parametrize("resume", ["auto", "{run}", "{run}/checkpoints/last.ckpt"])
def test_a_finished_run_says_so_and_nothing_is_written(finished, resume):
    _, run = finished
    before, miou = content(run), json.loads((run / "result.json").read_text())["miou"]
    done = train(run.parents[2], *TINY, f"resume={resume.format(run=run)}")
    assert content(run) == before
    assert f"{run.name} is finished already (step 4, mIoU {miou:.4f} in its result.json)" in done.stdout
    assert "max_steps=MORE" in done.stdout and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["optimizer.lr=0.004"], "other values (optimizer.lr: 0.001 -> 0.004)"),
        (["max_steps=3"], "other values (max_steps: 4 -> 3)"),
        (["crf=v2_resnet101"], "deeplab_lit.evaluate checkpoint="),
    ],
)
def test_a_finished_run_is_not_resumed_with_other_values(finished, values, words):
    _, run = finished
    before = content(run)
    done = train(run.parents[2], *TINY, *values, f"resume={run}", expect=1)
    assert content(run) == before
    assert words in done.stderr and f"resume={run} max_steps=MORE" in done.stderr, done.stderr


def test_a_run_that_is_extended_has_one_row_a_step_and_a_validation_at_its_end(tmp_path):
    train(tmp_path, *TINIEST, "max_steps=2", "val_every=5")
    run = run_folder(tmp_path)
    train(tmp_path, *TINIEST, "max_steps=4", "val_every=5", f"resume={run}")
    train(tmp_path, *TINIEST, "max_steps=7", "val_every=5", f"resume={run}")
    table = rows(run)
    assert [int(row["step"]) for row in table] == list(range(7))
    assert [int(row["step"]) for row in table if row["val/miou"]] == [1, 3, 4, 6]
    assert json.loads((run / "result.json").read_text())["steps"] == 7


@pytest.mark.parametrize(("keep", "step"), [("best", 1), ("last", 2)])
def test_the_best_or_the_last_checkpoint_is_scored(tmp_path, keep, step):
    # nothing is learned, so the first validation is as good as the last
    done = train(tmp_path, *TINIEST, "max_steps=2", "val_every=1", "optimizer.lr=0", f"keep={keep}")
    (folder,) = tmp_path.glob("runs/*/*")
    assert json.loads((folder / "result.json").read_text())["best_step"] == step and "mIoU" in done.stdout
    assert torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == step


def test_a_new_run_beside_others_says_what_was_compared(tmp_path):
    train(tmp_path, *TINIEST, "max_steps=1")
    first = run_folder(tmp_path).relative_to(tmp_path)
    lines = train(tmp_path, *TINIEST, "max_steps=1", "optimizer.lr=0.001", "resume=auto").stdout.splitlines()
    at = lines.index("resume     a new run begins: no run named shapes-timm-aspp_l was trained with these values")
    assert lines[at + 1].strip() == f"the newest that differs is {first} (there -> here):"
    assert lines[at + 2] == "changed    optimizer.lr: 0.002 -> 0.001"
    assert len(list(tmp_path.glob("runs/*/*/result.json"))) == 2


def test_a_trained_run_that_was_not_scored_is_scored(finished):
    _, run = finished
    before = json.loads((run / "result.json").read_text())
    (run / "result.json").unlink()
    done = train(run.parents[2], *TINY, "optimizer.lr=0.004", f"resume={run}", expect=1)
    assert "trained to step 4 already" in done.stderr and not (run / "result.json").exists()
    train(run.parents[2], *TINY, "resume=auto")
    after = json.loads((run / "result.json").read_text())
    assert after["miou"] == pytest.approx(before["miou"], abs=1e-6)
    assert after["seconds"] >= 0.5 * before["seconds"]  # counted on from the checkpoint, not from nothing


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights_and_curve(tmp_path):
    arguments = [*TINIEST, "max_steps=8", "num_workers=1"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    # in processes of their own, since this one may have another number of threads, which changes the last bits
    train_alone(tmp_path / "whole", *arguments)
    process = subprocess.Popen(
        command("train", *arguments), cwd=tmp_path / "killed", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("killed/runs/*/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("killed/runs/*/*/result.json"))
    train_alone(tmp_path / "killed", *arguments, "resume=auto")
    whole, killed = run_folder(tmp_path / "whole"), run_folder(tmp_path / "killed")
    a, b = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, killed))
    assert a["global_step"] == b["global_step"] == 8
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key
    assert rows(whole) == rows(killed)


def test_accumulation_counts_optimiser_steps(tmp_path):
    train(tmp_path, *TINIEST, "trainer.accumulate_grad_batches=2", "optimizer.warmup=0")
    run = run_folder(tmp_path)
    assert json.loads((run / "result.json").read_text())["steps"] == 4
    rates = [float(row["lr/base_weight"]) for row in rows(run) if row["lr/base_weight"]]
    assert rates[0] == pytest.approx(2e-3) and min(rates) == pytest.approx(2e-3 * (1 - 3 / 4) ** 0.9, rel=1e-4)


def test_own_voc_folder_with_a_class_list_msc_sgd_and_wandb(tmp_path):
    write_voc(tmp_path / "mine", num_classes=3)
    (tmp_path / "classes.txt").write_text("meadow\nroad\ncow\n")
    train_alone(
        tmp_path, *TINY[2:], "logger=default", "data=voc", "data.root=mine", "data.classes=classes.txt", "scales=msc",
        "optimizer=sgd", "schedule=step", "augment=scale_list_crop_flip", "loss.resolution=full", "eval_size=65",
        env={"WANDB_MODE": None, "HOME": str(tmp_path)},
    )  # fmt: skip
    run = run_folder(tmp_path)
    assert set(json.loads((run / "result.json").read_text())["per_class_iou"]) == {"meadow", "road", "cow"}
    offline = list(run.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(offline) == 1
    content = offline[0].read_bytes()
    for word in (b"val/miou", b"train/loss", b"lr/new_weight", b"meadow"):
        assert word in content, word
    assert list(run.glob("wandb/offline-run-*/files/media/images/**/*.png"))


@pytest.mark.slow
def test_a_multirun_makes_one_run_each_and_compares_them(tmp_path):
    models = "model=aspp_l,largefov,msc_features"  # the last one does not go with the trunk
    done = train_alone(tmp_path, *TINIEST, "max_steps=1", "-m", models, "logger=tensorboard", expect=1)
    runs = {path.parts[-3]: path.parent for path in tmp_path.glob("runs/*/*/result.json")}
    assert sorted(runs) == ["shapes-timm-aspp_l", "shapes-timm-largefov"]
    assert len({path.parent for path in tmp_path.glob("runs/*/*/tensorboard/events.*")}) == 2
    title, *table = done.stdout.split("the trainings of this sweep", 1)[1].strip().splitlines()
    assert title.split() == ["model", "mIoU", "seconds", "run"]
    for line, model in zip(table, ["aspp_l", "largefov"], strict=False):
        run = runs[f"shapes-timm-{model}"]
        result = json.loads((run / "result.json").read_text())
        found = [model, f"{100 * result['miou']:.2f}", f"{result['seconds']:.0f}", str(run.relative_to(tmp_path))]
        assert line.split() == found and len(line.strip()) <= 80
    assert table[2].split() == ["msc_features", "failed"]
    assert table[3].startswith("model=msc_features: model=msc_features does not go with backbone=timm")
    assert done.stderr.splitlines()[-1] == "error: 1 of 3 trainings failed; the lines above say why."
    (report,) = tmp_path.glob("runs/sweeps/*/report.md")
    assert report.read_text().startswith("## model\n")  # the runs have no name in common


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=voc", "data.root=nowhere"], "data.root='nowhere' is not a folder"),
        (["data=voc", "data.root=mine", "data.classes=two.txt"], "has the value 2, but there are 2 classes"),
        (["data=voc", "data.root=mine", "data.train=trian"], "Did you mean 'train'"),
        (["max_steps=0"], "max_steps=0: it is at least 1"),
        (["+trainer.max_step=3"], "trainer.max_step is not known to lightning.Trainer. Did you mean 'max_steps'?"),
        (["trainer.accelerator=gpu"], "PyTorch sees no GPU here"),
        (["trainer.precision=17"], "precision"),
        (["backbone=resnet18", "backbone.depth=19"], "depth=19 is no ResNet"),
        (["backbone=resnet18", "+backbone.deepness=19"], "backbone.deepness is not known"),
        (["atrous=hole"], "atrous='hole'"),
        (["resume=nowhere"], "resume='nowhere' does not exist"),
        (["loss.resolution=half"], "loss.resolution='half'"),
        (["parity.msc_loss=both"], "loss.msc='both' is not known: choose one of full_map, own_map"),
        (["loss.class_weights=inverse"], "choose none, median_frequency, inverse_root"),
        (["loss.class_weights=[1,2]"], "loss.class_weights has 2 entries for 12 classes"),
        (["sampling=rare"], "sampling='rare' is not known: choose one of uniform, rare_classes"),
        (["parity.normalization=bgr"], "normalization='bgr': choose imagenet, bgr_bytes"),
        (["init=imagenet", "init.path=nowhere.pth"], "init.path='nowhere.pth' does not exist"),
        (["init=checkpoint", "init.path=nowhere.ckpt"], "checkpoint 'nowhere.ckpt' does not exist"),
        (["data=voc", "data.root=mine", "data.classes=none.txt"], "none.txt: 0 classes given"),
        (["data=voc", "data.root=mine", "data.train_masks=pseudo"], "data.train_masks='pseudo' is not a folder"),
    ],
)
def test_mistakes_end_in_one_sentence_and_leave_no_run(tmp_path, monkeypatch, capsys, arguments, words):
    """In this process: importing torch for each would take most of the time."""
    if torch.cuda.is_available() and "trainer.accelerator=gpu" in arguments:
        pytest.skip("there is a GPU")
    write_voc(tmp_path / "mine", num_classes=3)
    (tmp_path / "two.txt").write_text("meadow\nroad\n")
    (tmp_path / "none.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    fitting = [a for a in TINY if not (arguments[0] == "data=voc" and "_images" in a)]
    monkeypatch.setattr(sys, "argv", ["train.py", *fitting, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    text = capsys.readouterr().err
    assert ended.value.code == 1 and words in text and "Traceback" not in text, text
    assert len(text.strip().splitlines()) == 1 and not list(tmp_path.glob("runs/*/*")), text


def test_a_bad_file_met_in_a_loader_process_ends_the_run_with_its_name(tmp_path):
    write_voc(tmp_path / "mine", sizes=[(32, 40)] * 34, num_classes=3)
    file = tmp_path / "mine" / "JPEGImages" / "picture_1.jpg"  # not among those read before training
    file.write_bytes(file.read_bytes()[:300])
    arguments = [a for a in TINY[2:] if "num_workers" not in a]
    arguments += ["data=voc", "data.root=mine", "num_workers=1", "max_steps=40"]
    done = train_alone(tmp_path, *arguments, expect=1, within=100)  # a loader that cannot be ended would hold it up
    assert "picture_1.jpg cannot be read as an image" in done.stderr and "Traceback" not in done.stderr


def test_images_kept_decoded_change_no_weight(tmp_path):
    for name, more in (("plain", []), ("first", ["decoded_gb=1"]), ("second", ["decoded_gb=1"])):
        (tmp_path / name).mkdir()
        done = train(tmp_path / name, *TINIEST, *more)
        assert ("decoded    at most 1 GB of them kept in" in done.stdout) == bool(more)
    states = [
        torch.load(run_folder(tmp_path / name) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("plain", "first", "second")
    ]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]) and torch.equal(value, states[2][key]), key

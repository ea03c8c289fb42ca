"""Data of the user's own, from the check to the scores."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.data.exports import CLASSES, blocks, write_coco_export, write_cvat, write_label_studio, write_labelme
from tests.data.layouts import write_pairs
from tests.end_to_end.running import train, use
from tests.end_to_end.test_train import TINY, run_folder


@pytest.mark.slow
def test_colour_masks_with_cvats_list_and_binary_masks(tmp_path):
    names = [f"{split}/{i}" for split in ("train", "val") for i in range(2)]
    root = write_pairs(tmp_path / "mine", names)
    (root / "labelmap.txt").write_text("ground:0,0,0::\ncrack:250,50,83::\n")
    shares = []
    for file in sorted((root / "masks" / "train").iterdir()):
        mask = np.array(Image.open(file))
        shares.append(mask.mean())
        Image.fromarray(np.array([(0, 0, 0), (250, 50, 83)], np.uint8)[mask]).save(file)
    for file in (root / "masks" / "val").iterdir():
        Image.fromarray(np.array(Image.open(file)) * 255).save(file)
    arguments = ["data=folder", "data.root=mine", "data.classes=labelmap.txt", "data.binary=true"]
    done = use("check_data", tmp_path, *arguments)
    assert "bad files: 0" in done.stdout and "findings: 0" in done.stdout and "each 30x20" in done.stdout
    assert f"{100 * np.mean(shares):.2f} %" in done.stdout
    done = train(tmp_path, *TINY[2:], *arguments, "max_steps=1", "decoded_gb=0.1", "loss.class_weights=inverse_root")
    assert "warning" not in done.stdout, done.stdout
    scores = json.loads((run_folder(tmp_path) / "result.json").read_text())["per_class_iou"]
    assert set(scores) == {"ground", "crack"} and None not in scores.values()
    done = use("evaluate", tmp_path, f"checkpoint={run_folder(tmp_path) / 'checkpoints' / 'best.ckpt'}")
    assert "crack" in done.stdout


TOOLS = {
    "cvat": (write_cvat, ["data=cvat"]),
    "cvat as voc": (
        write_cvat,
        ["data=voc", "data.train=default", "data.val=default", "data.classes=labelmap.txt"],
    ),
    "coco": (write_coco_export, ["data=coco", "data.train=train", "data.val=val", "data.classes=file"]),
    "labelme": (write_labelme, ["data=labelme", "data.classes=labels.txt"]),
    "label studio": (write_label_studio, ["data=folder", "data.masks=export.json", "data.classes=classes.txt"]),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool", [pytest.param(name, marks=pytest.mark.long if name in ("cvat as voc", "coco") else ()) for name in TOOLS]
)
def test_what_annotation_tools_write_is_checked_trained_on_and_evaluated(tmp_path, tool, monkeypatch):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(tmp_path / "cache"))
    masks = {f"shot {i}": blocks(i) for i in range(4)}
    write, arguments = TOOLS[tool]
    write(tmp_path / "mine", masks)
    done = use("check_data", tmp_path, *arguments, "data.root=mine")
    assert "bad files: 0" in done.stdout and "findings: 0" in done.stdout
    pixels = np.bincount(np.concatenate([mask.ravel() for mask in masks.values()]), minlength=len(CLASSES))
    report = json.loads(next(tmp_path.glob("checks/*/*/report.json")).read_text())["splits"]
    found = [list(report[name]["pixels"].values()) for name in ("train", "val")]
    assert (np.sum(found, 0) == pixels * (2 if tool in ("cvat as voc", "coco") else 1)).all()
    done = train(tmp_path, *TINY[2:], *arguments, "data.root=mine", "max_steps=2")
    assert "warning" not in done.stdout, done.stdout
    run = run_folder(tmp_path)
    assert json.loads((run / "result.json").read_text())["per_class_iou"].keys() >= {"crack", "mould"}
    done = use("evaluate", tmp_path, f"checkpoint={run / 'checkpoints' / 'best.ckpt'}")
    assert "crack" in done.stdout and "mould" in done.stdout


@pytest.mark.slow
def test_masks_of_0_and_255_without_the_key_are_found(tmp_path):
    root = write_pairs(tmp_path / "mine", [f"{split}/{i}" for split in ("train", "val") for i in range(2)])
    for file in (root / "masks").rglob("*.png"):
        Image.fromarray(np.array(Image.open(file)) * 255).save(file)
    arguments = ["data=folder", "data.root=mine", "data.classes=[background,crack]"]
    words = "hold only the values 0 and 255, and 255 is void, from which nothing is learned: if 255 is the object, type"
    done = use("check_data", tmp_path, *arguments)
    assert "findings: 1" in done.stdout and f"{words} data=folder data.binary=true" in " ".join(done.stdout.split())
    done = train(tmp_path, *TINY[2:], *arguments, "max_steps=1")
    assert words in " ".join((done.stdout + done.stderr).split())

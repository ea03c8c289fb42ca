"""Data of the user's own, from the check to the scores."""

import json

import numpy as np
import pytest
from PIL import Image

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
    arguments = ["data=folder", "data.root=mine", "data.classes=mine/labelmap.txt", "data.binary=true"]
    done = use("check_data", tmp_path, *arguments)
    assert "bad files: 0" in done.stdout and "findings: 0" in done.stdout and "each 30x20" in done.stdout
    assert f"{100 * np.mean(shares):.2f} %" in done.stdout
    done = train(tmp_path, *TINY[2:], *arguments, "max_steps=1", "decoded_gb=0.1", "loss.class_weights=inverse_root")
    assert "warning" not in done.stdout, done.stdout
    scores = json.loads((run_folder(tmp_path) / "result.json").read_text())["per_class_iou"]
    assert set(scores) == {"ground", "crack"} and None not in scores.values()
    done = use("evaluate", tmp_path, f"checkpoint={run_folder(tmp_path) / 'checkpoints' / 'best.ckpt'}")
    assert "crack" in done.stdout

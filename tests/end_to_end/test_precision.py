"""What is learnt in bfloat16 against float32, on the embedded data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.running import train

SETTINGS = (
    "data.train_images=96 data.val_images=32 max_steps=150 val_every=150 batch_size=8 crop_size=65 num_workers=0 "
    "backbone.output_stride=16 model.rate_scale=0.15 trainer.accelerator=cpu logger=csv pictures=0 "
    "trainer.log_every_n_steps=5"
)


def learnt(folder, precision):
    folder.mkdir()
    train(folder, SETTINGS, f"trainer.precision={precision}")
    (run,) = (path.parent for path in Path(folder).glob("runs/*/*/result.json"))
    with (run / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    return json.loads((run / "result.json").read_text())["miou"], np.mean(losses[:4]), np.mean(losses[-12:])


@pytest.mark.long
def test_bfloat16_learns_as_well_as_float32(tmp_path):
    exact = learnt(tmp_path / "exact", "32-true")
    half = learnt(tmp_path / "half", "bf16-mixed")
    print(exact, half)
    assert exact[2] < 0.6 * exact[1]  # it learns
    assert half[2] < 1.05 * exact[2] and half[0] > exact[0] - 0.03

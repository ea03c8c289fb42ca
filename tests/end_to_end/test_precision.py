"""What is learnt in bfloat16 against float32, on the embedded data."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.running import train

SETTINGS = (
    "data.train_images=96 data.val_images=32 max_steps=300 val_every=300 batch_size=8 crop_size=65 num_workers=0 "
    "backbone.output_stride=16 model.rate_scale=0.15 trainer.accelerator=cpu logger=csv pictures=0 "
    "trainer.log_every_n_steps=5"
)


def learnt(folder, precision):
    folder.mkdir()
    train(folder, SETTINGS, f"trainer.precision={precision}")
    (run,) = (path.parent for path in Path(folder).glob("runs/*/*/result.json"))
    with (run / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    return np.mean(losses[:4]), np.mean(losses[-20:])


@pytest.mark.long
def test_bfloat16_learns_as_well_as_float32(tmp_path):
    exact = learnt(tmp_path / "exact", "32-true")
    half = learnt(tmp_path / "half", "bf16-mixed")
    print(exact, half)
    assert exact[1] < 0.6 * exact[0]  # it learns
    assert abs(half[0] / exact[0] - 1) < 0.02  # of four seeds 0.01 at most, before rounding parts them
    # last losses of four seeds: 0.76 to 0.83 in float32, 0.79 to 0.85 in bfloat16; mIoU 0.18 to 0.22 and 0.20 to 0.25
    assert half[1] < 1.15 * exact[1]

"""One training on several folders of pseudo-labels: means, differences, and the report's files."""

import csv
import json
import statistics

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_voc
from tests.end_to_end.running import train
from tests.end_to_end.test_train import TINIEST


def worse(folder, to, share, rng):
    """Copies of masks in which a share of the pixels has class 1."""
    to.mkdir(parents=True)
    for path in (folder / "SegmentationClass").glob("*.png"):
        mask = np.array(Image.open(path))
        mask[rng.random(mask.shape) < share] = 1
        Image.fromarray(mask).save(to / path.name)


@pytest.mark.slow
def test_folders_of_masks_are_compared_over_seeds(tmp_path):
    rng = np.random.default_rng(0)
    write_voc(tmp_path / "mine", num_classes=3)
    (tmp_path / "classes.txt").write_text("meadow\nroad\ncow\n")
    for name, share in (("irn", 0.1), ("seam", 0.9)):
        worse(tmp_path / "mine", tmp_path / "labels" / name / "masks", share, rng)
    arguments = [
        *(each for each in TINIEST if "_images=" not in each), "data=voc", "data.root=mine", "max_steps=1",
        "val_every=1", "data.classes=classes.txt", "experiments=wsss_compare", "seed=0,1",
    ]  # fmt: skip
    folders = "data.train_masks=labels/irn/masks,labels/seam/masks"
    # all folders are looked at before the first training
    missing = train(tmp_path, *arguments, f"{folders},nowhere", expect=1)
    assert missing.stderr == (
        "error: data.train_masks='nowhere' is not a folder: give one that holds ID.png for each training image.\n"
    )
    assert not list((tmp_path / "runs").rglob("metrics.csv"))
    without = train(tmp_path, *arguments, expect=1)
    assert "type data.train_masks=FOLDER,FOLDER" in without.stderr and "executing" not in without.stderr
    done = train(tmp_path, *arguments, folders)
    runs = sorted((tmp_path / "runs" / "wsss_compare").glob("*/result.json"))
    assert len(runs) == 4
    scores = {}
    for path in runs:
        config = (path.parent / "config.yaml").read_text()
        name = "irn" if "labels/irn" in config else "seam"
        scores.setdefault(name, []).append(100 * json.loads(path.read_text())["miou"])
    for name, found in scores.items():
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"train_masks={name} "))
        assert f"{statistics.fmean(found):.2f} ± {statistics.stdev(found):.2f}" in line
    (report,) = (tmp_path / "runs" / "sweeps").glob("*")
    assert {path.name for path in report.iterdir()} == {"report.html", "report.svg", "report.md", "report.csv"}
    lines = list(csv.DictReader((report / "report.csv").open()))
    gain = statistics.fmean(scores["seam"]) - statistics.fmean(scores["irn"])
    assert float(lines[1]["gain_ours"]) == pytest.approx(gain, abs=0.0051)

    mask = next((tmp_path / "labels" / "seam" / "masks").glob("*.png"))
    mask.write_bytes(mask.read_bytes())  # another mask of the same name
    again = train(tmp_path, *arguments, f"{folders},null")  # the data set's own masks beside them
    assert len(list((tmp_path / "runs" / "wsss_compare").glob("*/result.json"))) == 6
    assert again.stdout.count("is finished already") == 4
    commands = [json.loads(path.read_text())["command"] for path in runs]
    assert sorted(sum(f"labels/{name}/masks" in each for name in ("irn", "seam")) for each in commands) == [1, 1, 1, 1]
    assert "train_masks=null" in again.stdout and len(list((tmp_path / "runs" / "sweeps").glob("*"))) == 2
    assert again.stdout.count("warning: 1 masks in data.train_masks=labels/seam/masks are newer than") == 2

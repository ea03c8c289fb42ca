"""V2's two data sets on VOC 2010's images, from the check to the scores."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from tests.data.layouts import part_annotation, write_voc2010
from tests.end_to_end.running import train, use
from tests.end_to_end.test_train import TINIEST, run_folder

SHAPE = (56, 64)


def half(rows):
    mask = np.zeros(SHAPE, bool)
    mask[rows] = True
    return mask


def context(root, ids):
    """The upper half is sky (360), the lower half is a category that is none of the 59."""
    (root / "trainval").mkdir()
    labels = np.where(half(slice(28)), 360, 1).astype(np.uint16)
    for id in ids:
        savemat(root / "trainval" / f"{id}.mat", {"LabelMap": labels}, do_compression=True)
    return {"background", "sky"}, 60


def parts(root, ids):
    (root / "Annotations_Part").mkdir()
    for id in ids:
        person = ("person", 15, half(slice(28)), [("lear", half(slice(9))), ("neck", half(slice(9, 28)))])
        savemat(root / "Annotations_Part" / f"{id}.mat", part_annotation([person]))
    return {"background", "Head", "Torso"}, 7


@pytest.mark.slow
@pytest.mark.parametrize(("name", "annotate"), [("pascal_context", context), ("person_part", parts)])
def test_from_the_check_to_the_scores(tmp_path, name, annotate):
    ids = write_voc2010(tmp_path / "VOC2010", [SHAPE] * 4, train=2)
    seen, count = annotate(tmp_path / "VOC2010", ids)
    arguments = [f"data={name}", "roots.voc2010=VOC2010", "data.converted=made"]
    done = use("check_data", tmp_path, *arguments)
    assert "bad files: 0" in done.stdout and "each 64x56" in done.stdout and "50.00 %" in done.stdout
    assert len(list((tmp_path / "made").glob("*.png"))) == 4
    train(tmp_path, *TINIEST[2:], *arguments, "max_steps=2", "eval_size=65")
    result = json.loads((run_folder(tmp_path) / "result.json").read_text())
    scores = result["per_class_iou"]
    assert len(scores) == count and {each for each, iou in scores.items() if iou is not None} >= seen
    done = use("evaluate", tmp_path, f"checkpoint={run_folder(tmp_path) / 'checkpoints' / 'best.ckpt'}")
    assert "2 images in" in done.stdout, done.stdout
    (evaluated,) = tmp_path.glob("evaluations/*/*/result.json")
    # the folded network differs by rounding, which decides where the scores of noise are nearly equal
    assert json.loads(evaluated.read_text())["miou"] == pytest.approx(result["miou"], abs=0.01)

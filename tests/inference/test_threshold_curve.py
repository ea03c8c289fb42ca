"""The curve of the mIoU over thresholds against masks that are made and scored one by one."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

from deeplab_lit.data.score_files import ScoreMaps
from deeplab_lit.inference.cams import CAMs
from deeplab_lit.inference.threshold_curve import ThresholdCurve, write_curve
from deeplab_lit.utils.errors import UserError

RNG = np.random.default_rng(0)
SIZE = (30, 41)


def example(classes):
    maps = RNG.random((len(classes), *SIZE)).astype(np.float32)
    truth = RNG.choice([0, 0, *classes, 255], SIZE).astype(np.uint8)
    return CAMs.of(ScoreMaps(classes, maps, 0.0, True)), truth


def test_each_point_is_the_miou_of_the_masks_of_its_threshold(tmp_path):
    examples = [example((1, 3)), example((2,)), example(())]
    # some activations are a threshold of the curve, to the bit
    examples[0][0].maps[0, :3] = examples[0][0].highest[:3] = np.float32(0.30)
    examples[0][0].maps[1, :3] = 0
    curve = ThresholdCurve(5, [0.275])
    for cams, truth in examples:
        curve.add(curve.count(cams, truth))
    result = curve.result(0.275, [0.30])
    assert result["images"] == 3 and len(result["curve"]) == 87
    for point in result["curve"]:
        metric = MulticlassJaccardIndex(5, average="none", ignore_index=255)
        seen = set()
        for cams, truth in examples:
            padded = np.concatenate([np.full((1, *SIZE), point["threshold"], np.float32), cams.maps])
            mask = cams.classes[padded.argmax(0)]
            metric.update(torch.from_numpy(mask.astype(int)), torch.from_numpy(truth.astype(int)))
            seen |= {*mask[truth != 255].tolist(), *truth[truth != 255].tolist()}
        assert point["miou"] == pytest.approx(metric.compute()[sorted(seen)].mean().item(), abs=1e-6)
    values = [point["miou"] for point in result["curve"]]
    assert result["best"]["miou"] == max(values)
    assert result["without_truth"]["threshold"] == 0.275
    assert result["chosen"][0]["cost"] == pytest.approx(max(values) - result["chosen"][0]["miou"])
    write_curve(result, tmp_path)
    assert json.loads((tmp_path / "thresholds.json").read_text()) == result
    assert np.asarray(Image.open(tmp_path / "thresholds.png")).std() > 5


def test_masks_that_do_not_fit_are_refused():
    cams, truth = example((1,))
    curve = ThresholdCurve(2, [])
    with pytest.raises(UserError, match="it is 41x29, its image 41x30"):
        curve.count(cams, truth[1:])
    truth[0, 0] = 7
    with pytest.raises(UserError, match="it has the class 7, and there are 2 classes"):
        curve.count(cams, truth)

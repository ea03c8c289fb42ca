import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from deeplab_lit.inference import metrics
from deeplab_lit.inference.metrics import ConfusionMatrix, Scores, count_pairs


def by_sets(predictions, truths, classes):
    """IoU from the definition: sets of (image, pixel) over the whole split."""
    ious = []
    for c in range(classes):
        inter = union = 0
        for p, t in zip(predictions, truths, strict=True):
            for a, b in zip(p.ravel().tolist(), t.ravel().tolist(), strict=True):
                if b != 255:
                    inter += a == c and b == c
                    union += a == c or b == c
        ious.append(inter / union if union else math.nan)
    return ious


def test_pooled_scores_agree_with_sets_and_with_torchmetrics():
    rng = np.random.default_rng(0)
    # sizes and difficulty differ, so a mean over images would not be the pooled value
    truths = [torch.tensor(rng.integers(0, 4, size)) for size in ((5, 7), (20, 30), (1, 3))]
    predictions = [torch.where(torch.rand(t.shape) < 0.8, t, (t + 1) % 4) for t in truths]
    predictions[2] = torch.zeros_like(truths[2])
    truths[1][:3] = 255
    metric, peer = ConfusionMatrix(5), MulticlassJaccardIndex(5, average="none", ignore_index=255)
    for p, t in zip(predictions, truths, strict=True):
        metric.update(p, t)
        peer.update(p, t)
    scores = Scores.of(metric.compute())
    expected = by_sets(predictions, truths, 5)
    np.testing.assert_allclose(scores.per_class_iou, expected)
    assert math.isnan(scores.per_class_iou[4])  # occurs nowhere
    np.testing.assert_allclose(scores.per_class_iou[:4], peer.compute().numpy()[:4], rtol=1e-6)
    assert scores.miou == np.nanmean(expected)
    kept = torch.cat([(p == t)[t != 255] for p, t in zip(predictions, truths, strict=True)])
    assert scores.pixel_accuracy == kept.double().mean()
    recalls = [
        torch.cat([(p == t)[t == c] for p, t in zip(predictions, truths, strict=True)]).double().mean().item()
        for c in range(4)
    ]
    np.testing.assert_allclose(scores.mean_accuracy, np.mean(recalls))


def test_rows_are_truth_and_columns_prediction():
    metric = ConfusionMatrix(2)
    metric.update(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 0, 255]]))
    assert metric.compute().tolist() == [[0, 2], [0, 0]]
    metric.reset()
    assert int(metric.compute().sum()) == 0


def test_counts_do_not_round_on_large_splits():
    metric = ConfusionMatrix(2)
    metric.matrix += 2**25  # beyond what float32 counts
    metric.update(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64))
    assert int(metric.compute()[0, 0]) == 2**25 + 1


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("prediction", "truth"), [([0, 3], [1, 1]), ([0, 1], [1, 3]), ([-1, 0], [0, 0])])
def test_labels_that_are_no_class_are_refused_with_and_without_numba(monkeypatch, compiled, prediction, truth):
    if not compiled:
        monkeypatch.setattr(metrics, "has_numba", lambda: False)
    with pytest.raises(ValueError, match="1 pixels have labels that are none of the 3 classes"):
        count_pairs(np.array(prediction), np.array(truth), 3)
    with pytest.raises(ValueError, match="1 pixels have labels that are none of the 3 classes"):
        ConfusionMatrix(3).update(torch.tensor(prediction), torch.tensor(truth))
    assert count_pairs(np.array([2, 9]), np.array([1, 255]), 3)[1, 2] == 1

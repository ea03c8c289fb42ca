"""What an audit counts, against torchmetrics and against loops."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassPrecision, MulticlassRecall

from deeplab_lit.crf import preset
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.mask_audit import Sources, Totals
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph

LABELS = LabelSet(("background", "cat", "dog", "cow"))
RNG = np.random.default_rng(0)
SIZES = {"a": (20, 30), "b": (25, 25), "c": (30, 20)}


def saved(folder, name, mask):
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / f"{name}.png")
    return folder / f"{name}.png"


@pytest.fixture
def given(tmp_path):
    """Masks, true masks and the arrays in them; c has no true mask."""
    arrays, sources = {}, Sources({}, {}, {}, {"a": frozenset({1, 3}), "b": frozenset({2}), "c": frozenset()}, None, 4)
    for number, (name, size) in enumerate(SIZES.items()):
        mask = RNG.choice([0, 0, 1, 2, 255], size).astype(np.uint8)
        truth = np.where(RNG.random(size) < 0.6, mask, RNG.choice([0, 1, 2, 3, 255], size)).astype(np.uint8)
        truth[truth == 255] = np.where(RNG.random((truth == 255).sum()) < 0.5, 255, 0)
        arrays[name] = mask, truth
        sources.masks[name] = saved(tmp_path / "masks", name, mask)
        sources.images[name] = saved(tmp_path / "images", name, photograph(*size, number))
        if name != "c":
            sources.truth[name] = saved(tmp_path / "truth", name, truth)
    return sources, arrays


def totals_of(sources):
    totals = Totals(sources.classes)
    for name in sources.masks:
        totals.add(*sources.look(name))
    return totals


def test_precision_recall_and_iou_with_void_as_a_miss(given):
    sources, arrays = given
    result = totals_of(sources).result(LABELS)
    both = [arrays[name] for name in ("a", "b")]
    mask = np.concatenate([each.ravel() for each, _ in both]).astype(int)
    truth = np.concatenate([each.ravel() for _, each in both]).astype(int)
    mask, truth = (torch.from_numpy(each[truth != 255]) for each in (mask, truth))
    mask[mask == 255] = 4  # a class of its own, which the truth lacks
    precision = MulticlassPrecision(5, average="none")(mask, truth)
    recall = MulticlassRecall(5, average="none")(mask, truth)
    ious = []
    for number, name in enumerate(LABELS.names):
        found = result["classes"][name]
        hits, either = ((mask == number) & (truth == number)).sum(), ((mask == number) | (truth == number)).sum()
        ious.append(float(hits / either))
        assert found["iou"] == pytest.approx(ious[-1])
        assert found["recall"] == pytest.approx(recall[number].item())
        if name == "cow":  # which no mask has
            assert found["precision"] is None and found["pixels"] == 0 and found["images"] == 0
        else:
            assert found["precision"] == pytest.approx(precision[number].item())
    assert result["miou"] == pytest.approx(np.mean(ious))
    inside = mask != 4
    of_labelled = [
        float(((mask == c) & (truth == c) & inside).sum() / (((mask == c) | (truth == c)) & inside).sum())
        for c in range(4)
    ]
    assert result["miou_of_labelled"] == pytest.approx(np.mean(of_labelled))
    assert result["void"] == pytest.approx(np.mean([(each == 255).mean() for each, _ in arrays.values()]))


def test_classes_against_tags(given):
    result = totals_of(given[0]).result(LABELS)
    by_id = {each["id"]: each for each in result["per_image"]}
    assert by_id["a"]["missing"] == ["cow"] and by_id["a"]["additional"] == ["dog"]
    assert by_id["b"]["missing"] == [] and by_id["b"]["additional"] == ["cat"]
    assert by_id["c"]["missing"] == [] and by_id["c"]["additional"] == ["cat", "dog"]
    counts = {name: (each["missing"], each["additional"]) for name, each in result["classes"].items()}
    assert counts == {"background": (0, 0), "cat": (0, 2), "dog": (0, 2), "cow": (1, 0)}


def test_where_the_crf_disagrees(given):
    sources, arrays = given
    crf = preset("irn_labels")
    sources = Sources(sources.masks, sources.images, {}, None, crf, 4)
    arrays["c"] = (np.full(SIZES["c"], 255, np.uint8), None)
    saved(sources.masks["c"].parent, "c", arrays["c"][0])
    result = totals_of(sources).result(LABELS)
    shares = {each["id"]: each["crf_changes"] for each in result["per_image"]}
    for name in ("a", "b"):
        mask = arrays[name][0]
        refined = crf.labels(np.array(Image.open(sources.images[name])), mask)
        assert shares[name] == pytest.approx((refined != mask)[mask != 255].mean()) and shares[name] > 0
    assert shares["c"] is None and result["crf_changes"] == pytest.approx(np.mean([shares["a"], shares["b"]]))
    assert result["miou"] is None and result["classes"]["cat"]["missing"] is None


def test_the_worst_come_first(given):
    sources, _ = given
    worst = totals_of(sources).worst(3)  # c has no true mask
    assert {each.id for each in worst} == {"a", "b"} and worst[0].iou < worst[1].iou
    by_tags = totals_of(Sources(sources.masks, sources.images, {}, sources.tags, None, 4)).worst(5)
    assert [each.id for each in by_tags] == ["a", "c", "b"]  # two wrong tags, two, one
    # masks without a fault are none of the worst
    assert totals_of(Sources(sources.masks, sources.images, {}, None, None, 4)).worst(5) == []


@pytest.mark.parametrize(
    ("folder", "mask", "words"),
    [
        ("masks", np.zeros((20, 31), np.uint8), r"a.png is 31x20, its image 30x20: masks are as large"),
        ("masks", np.full((20, 30), 9, np.uint8), r"a.png has the class 9, and there are 4 classes: give classes=FILE"),
        ("truth", np.zeros((20, 31), np.uint8), r"a.png is 31x20, the mask 30x20: true masks are as large"),
        ("truth", np.full((20, 30), 9, np.uint8), r"a.png has the class 9"),
    ],
)
def test_masks_that_do_not_fit_are_refused(given, folder, mask, words):
    sources, _ = given
    saved((sources.truth if folder == "truth" else sources.masks)["a"].parent, "a", mask)
    with pytest.raises(UserError, match=words):
        sources.look("a")

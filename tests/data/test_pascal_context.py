"""PASCAL-Context in the forms that people hold, each in miniature."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from deeplab_lit.data.inspection import inspect
from deeplab_lit.data.labels import voc_colour
from deeplab_lit.data.pascal_context import PascalContext
from deeplab_lit.utils.errors import UserError
from tests.data.layouts import write_voc2010

# the numbers of the 59 classes in labels.txt
NUMBERS = [
    2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159,
    162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368,
    397, 415, 416, 420, 424, 427, 440, 445, 454, 458,
]  # fmt: skip
# the same in the order of 59_labels.txt
LISTED = [
    2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368, 416, 427, 9, 18, 22, 33, 44, 46,
    68, 80, 85, 104, 115, 144, 158, 159, 162, 187, 189, 220, 232, 259, 260, 105, 296, 355, 295, 324, 326, 349, 354,
    360, 366, 19, 415, 420, 424, 440, 445, 454, 458,
]  # fmt: skip
# 33_labels.txt: VOC's 20 classes, then sky, grass, ground, road, building, tree, water, mountain, wall, floor, track,
# keyboard, ceiling
LISTED_33 = [*LISTED[:20], 360, 187, 189, 324, 44, 420, 445, 259, 440, 158, 415, 220, 68]
SIZES = [(20, 23), (21, 25), (22, 24)]


def categories(number):
    """A map with all numbers from 0 to 459, or with a part of them."""
    height, width = SIZES[number]
    return (np.arange(height * width) * (number + 1) % 460).reshape(height, width)


def indices(labels, order):
    """The place of each number in ``order``, from 1 on; 0 where it has none."""
    places = {number: place for place, number in enumerate(order, 1)}
    return np.vectorize(lambda number: places.get(number, 0))(labels).astype(np.uint8)


def annotate(root, form, ids):
    folder = root / {"double": "trainval", "void": "SegmentationClassContext"}.get(form, form)
    folder.mkdir(parents=True, exist_ok=True)
    for number, id in enumerate(ids):
        values = categories(number)
        if form in ("trainval", "double"):
            kind = np.float64 if form == "double" else np.uint16
            savemat(folder / f"{id}.mat", {"LabelMap": values.astype(kind)}, do_compression=form == "trainval")
            continue
        order = {"59_context_labels": LISTED, "33_context_labels": LISTED_33}.get(form, NUMBERS)
        mask = indices(values, order)
        if form == "void":
            mask[:2] = 255
        Image.fromarray(mask).save(folder / f"{id}.png")


@pytest.fixture
def root(tmp_path):
    write_voc2010(tmp_path / "VOC2010", SIZES, train=2)
    return tmp_path / "VOC2010"


IDS = ["2008_000000", "2008_000001", "2008_000002"]


def prepared(*arguments, **options):
    source = PascalContext(*arguments, **options)
    source.prepare()
    return source


@pytest.mark.parametrize("form", ["trainval", "double", "SegmentationClassContext", "59_context_labels"])
def test_each_form_gives_the_same_59_classes(root, tmp_path, form):
    annotate(root, form, IDS)
    source = prepared(root, converted=tmp_path / "png")
    assert (tmp_path / "png").exists() == (form != "SegmentationClassContext")  # which is read as it is
    train, val = source.split("train"), source.split("val")
    assert (train.ids, val.ids) == (IDS[:2], IDS[2:])
    for number, example in enumerate([train[0], train[1], val[0]]):
        np.testing.assert_array_equal(example.mask, indices(categories(number), NUMBERS))
    names = source.labels.names
    assert len(names) == 60 and names[:4] == ("background", "aeroplane", "bag", "bed")
    assert list(names[1:]) == sorted(names[1:]) and names[37] == "person" and names[59] == "wood"
    assert source.labels.palette == tuple(voc_colour(i) for i in range(60)) and len(set(source.labels.palette)) == 60


@pytest.mark.parametrize(
    "form", ["trainval", "double", "SegmentationClassContext", "59_context_labels", "33_context_labels"]
)
def test_each_form_gives_the_same_33_classes(root, tmp_path, form):
    annotate(root, form, IDS)
    source = prepared(root, classes=33, converted=tmp_path / "png")
    assert (tmp_path / "png").exists() == (form != "33_context_labels")
    np.testing.assert_array_equal(source.split("val")[0].mask, indices(categories(2), LISTED_33))
    names = source.labels.names
    assert len(names) == 34 and names[15:22] == ("person", "pottedplant", "sheep", "sofa", "train", "tvmonitor", "sky")


@pytest.mark.parametrize("form", ["trainval", "SegmentationClassContext", "void"])
def test_what_is_none_of_the_classes_may_be_void(root, tmp_path, form):
    annotate(root, form, IDS)
    mask = prepared(root, background=False, converted=tmp_path / "png").split("val")[0].mask
    expected = indices(categories(2), NUMBERS) - np.uint8(1)  # 0 wraps round to void
    expected[: 2 if form == "void" else 0] = 255
    np.testing.assert_array_equal(mask, expected)


def test_masks_are_converted_once_and_again_where_one_is_lost(root, tmp_path):
    annotate(root, "trainval", IDS)
    seen = []
    source = PascalContext(root, converted=tmp_path / "png")
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (3, 3) and "PASCAL-Context" in seen[0][0]
    stamp = (tmp_path / "png" / f"{IDS[0]}.png").stat().st_mtime_ns
    (tmp_path / "png" / f"{IDS[2]}.png").unlink()
    seen.clear()
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (1, 1) and (tmp_path / "png" / f"{IDS[0]}.png").stat().st_mtime_ns == stamp
    # 33 classes, and the same without background, go to other folders of the cache
    folders = {prepared(root, classes=classes, background=b).split("val").masks[0].parent for classes, b in
               ((59, True), (59, False), (33, True))}  # fmt: skip
    assert len(folders) == 3


def test_the_annotations_may_lie_elsewhere(root, tmp_path):
    annotate(tmp_path / "context", "trainval", IDS)
    for given in (tmp_path / "context", tmp_path / "context" / "trainval"):
        source = prepared(root, given, converted=tmp_path / "png")
        np.testing.assert_array_equal(source.split("train")[1].mask, indices(categories(1), NUMBERS))
    (tmp_path / "context" / "trainval").rename(tmp_path / "context" / "mine")
    assert len(prepared(root, tmp_path / "context" / "mine", converted=tmp_path / "other").split("train")) == 2
    devkit = tmp_path / "all" / "VOCdevkit"
    devkit.mkdir(parents=True)
    root.rename(devkit / "VOC2010")
    assert PascalContext(tmp_path / "all").root == devkit / "VOC2010"


def test_the_lists_of_the_converted_form_come_first(root):
    annotate(root, "SegmentationClassContext", IDS)
    lists = root / "ImageSets" / "SegmentationContext"
    lists.mkdir()
    (lists / "train.txt").write_text(f"{IDS[2]}\n")
    (lists / "val.txt").write_text(f"{IDS[0]}\n{IDS[1]}\n")
    source = prepared(root)
    assert (source.split("train").ids, source.split("val").ids) == (IDS[2:], IDS[:2])
    own = root.parent / "own.txt"
    own.write_text(f"/JPEGImages/{IDS[1]}.jpg /GroundTruth_trainval_png/{IDS[1]}.png\n")
    assert prepared(root, train=str(own)).listing("train").ids == IDS[1:2]


def test_pseudo_labels_and_lists_of_ids(root, tmp_path):
    annotate(root, "trainval", IDS)
    (root / "trainval" / f"{IDS[0]}.mat").unlink()  # not needed with masks from elsewhere
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    for id, shape in zip(IDS[:2], SIZES[:2], strict=True):
        Image.fromarray(np.full(shape, 59, np.uint8)).save(pseudo / f"{id}.png")
    (tmp_path / "some.txt").write_text(f"{IDS[0]}\n")
    source = prepared(root, train_masks=pseudo, train_list=tmp_path / "some.txt", converted=tmp_path / "png")
    assert source.split("train").ids == IDS[:1] and (source.split("train")[0].mask == 59).all()
    (tmp_path / "some.txt").write_text(f"{IDS[2]}\n")
    with pytest.raises(UserError, match=f"names '{IDS[2]}', which is none of the 2 training images"):
        source.split("train")


def test_a_check_finds_nothing_wrong(root, tmp_path):
    annotate(root, "trainval", IDS)
    report = inspect(prepared(root, converted=tmp_path / "png"))
    assert not report.bad and report.splits["train"].palettes == {"palette of the classes": 2}
    expected = np.bincount(indices(categories(2), NUMBERS).ravel(), minlength=60)
    np.testing.assert_array_equal(report.splits["val"].pixels, expected)


def broken(root, how):
    """The arguments that go with what is broken in one way."""
    mats, main = root / "trainval", root / "ImageSets" / "Main"
    if how == "no root":
        return {"root": None}
    if how == "no images":
        (root / "JPEGImages").rename(root / "images")
    elif how == "no annotations":
        mats.rename(root / "annotations")
    elif how == "no list":
        (main / "val.txt").unlink()
    elif how == "later year":
        (main / "train.txt").write_text("2008_000000\n2011_000003\n")
    elif how == "lost":
        (mats / f"{IDS[1]}.mat").unlink()
    elif how == "cut":
        (mats / f"{IDS[1]}.mat").write_bytes((mats / f"{IDS[1]}.mat").read_bytes()[:300])
    elif how == "other":
        savemat(mats / f"{IDS[1]}.mat", {"GTcls": np.ones((3, 3))})
    elif how == "category":
        savemat(mats / f"{IDS[1]}.mat", {"LabelMap": np.full((3, 3), 460, np.uint16)})
    elif how == "fraction":
        savemat(mats / f"{IDS[1]}.mat", {"LabelMap": np.full((3, 3), np.nan)})
    elif how == "33 only":
        mats.rename(root / "33_context_labels")
        return {"annotations": root / "33_context_labels"}
    elif how == "value":
        mats.rename(root / "59_context_labels")
        for id in IDS:
            Image.fromarray(np.full((20, 23), 60, np.uint8)).save(root / "59_context_labels" / f"{id}.png")
    return {}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            "no root",
            r"data\.root is missing: .*JPEGImages and ImageSets \(VOCtrainval_03-May-2010\.tar\).*roots\.voc2010",
        ),
        ("no images", r"holds no JPEGImages: .*VOCtrainval_03-May-2010\.tar"),
        (
            "no annotations",
            r"none of the folders SegmentationClassContext, trainval, .*PASCAL-Context's trainval\.tar\.gz",
        ),
        ("no list", r"Main/val\.txt does not exist: VOC 2010's lists are ImageSets/Main/train\.txt and val\.txt"),
        ("later year", r"names '2011_000003', an image of a later year.*VOC 2010 instead of VOC 2012's"),
        ("lost", r"2008_000001\.mat does not exist.*extract PASCAL-Context's trainval\.tar\.gz again"),
        ("cut", r"2008_000001\.mat cannot be read as a \.mat file: it is cut off"),
        ("other", r"2008_000001\.mat has no matrix LabelMap"),
        ("category", r"2008_000001\.mat has the category 460: .* from 0 to 459"),
        ("fraction", r"2008_000001\.mat has the category nan"),
        ("33 only", r"has 33 classes, without 'bag' and 25 others: type data\.classes=33"),
        ("value", r"2008_000000\.png has the value 60: masks of 59_context_labels hold 0 to 59"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_sentence(root, tmp_path, how, words):
    annotate(root, "trainval", IDS)
    options = {"root": root, "converted": tmp_path / "png"} | broken(root, how)
    with pytest.raises(UserError, match=words) as caught:
        prepared(**options)
    assert "\n" not in str(caught.value)


def test_the_classes_are_known_without_the_data():
    sizes = [len(PascalContext(classes=classes, background=b).labels) for classes in (59, 33) for b in (True, False)]
    assert sizes == [60, 59, 34, 33]


def test_more_classes_than_a_byte_holds(root):
    with pytest.raises(
        UserError, match=r"data\.classes=459: masks are bytes, .*type data\.classes=59, .* or data\.classes=33"
    ):
        PascalContext(root, classes=459)
    with pytest.raises(UserError, match=r"data\.classes=60: choose 59 or 33"):
        PascalContext(root, classes=60)

"""PASCAL-Person-Part in the forms that people hold, each in miniature."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from deeplab_lit.data.inspection import inspect
from deeplab_lit.data.labels import voc_colour
from deeplab_lit.data.person_part import MERGED, PersonPart
from deeplab_lit.utils.errors import UserError
from tests.data.layouts import part_annotation, write_voc2010

# the parts of a person in PASCAL-Part's part2ind.m, and the class that each becomes
CLASSES = {
    "head": 1, "leye": 1, "reye": 1, "lear": 1, "rear": 1, "lebrow": 1, "rebrow": 1, "nose": 1, "mouth": 1, "hair": 1,
    "torso": 2, "neck": 2, "llarm": 4, "luarm": 3, "lhand": 4, "rlarm": 4, "ruarm": 3, "rhand": 4, "llleg": 6,
    "luleg": 5, "lfoot": 6, "rlleg": 6, "ruleg": 5, "rfoot": 6,
}  # fmt: skip
SHAPE = (20, 24)
IDS = [f"2008_{number:06}" for number in range(5)]


def box(top, left, height=4, width=4):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def all_parts():
    """A person with each of the 24 parts in a square of its own, and the merged mask."""
    places = [(4 * (number // 6), 4 * (number % 6)) for number in range(24)]
    parts = [(name, box(*place)) for name, place in zip(CLASSES, places, strict=True)]
    return parts, np.array(list(CLASSES.values()), np.uint8).reshape(4, 6).repeat(4, 0).repeat(4, 1)[: SHAPE[0]]


WHOLE, MERGED_WHOLE = all_parts()
MERGED_MASK = np.zeros(SHAPE, np.uint8)
MERGED_MASK[:16] = MERGED_WHOLE
HAND = [("lhand", box(8, 8))]
OBJECTS = {
    IDS[0]: [("chair", 9, box(0, 0), []), ("person", 15, np.ones(SHAPE, bool), WHOLE)],
    IDS[1]: [("dog", 12, box(0, 0), [("head", box(0, 0))])],  # an animal has a head too
    IDS[2]: [("person", 15, box(0, 0), [])],  # a person too small for parts
    IDS[3]: [("person", 15, box(8, 8), HAND)],
    IDS[4]: [("person", 15, box(0, 0), [("torso", box(0, 0))]), ("person", 15, box(2, 2), [("rfoot", box(2, 2))])],
}


def write_mats(folder, objects=OBJECTS, **options):
    folder.mkdir(parents=True)
    for id, each in objects.items():
        savemat(folder / f"{id}.mat", part_annotation(each), **{"do_compression": True} | options)


def write_released(folder):
    """pascal_person_part.zip: persons alone, with its own lists and a palette."""
    for name in ("pascal_person_part_gt", "pascal_person_part_trainval_list"):
        (folder / name).mkdir(parents=True)
    for id, value in ((IDS[0], 1), (IDS[3], 4), (IDS[4], 6)):
        mask = Image.fromarray(np.full(SHAPE, value, np.uint8))
        mask.putpalette([channel for i in range(256) for channel in voc_colour(i)])
        mask.save(folder / "pascal_person_part_gt" / f"{id}.png")
    for name, ids in (("train", IDS[:1]), ("val", IDS[3:])):
        lists = folder / "pascal_person_part_trainval_list"
        (lists / f"{name}_id.txt").write_text("\n".join(ids) + "\n")
        pairs = [f"/JPEGImages/{id}.jpg /pascal_person_part_gt/{id}.png" for id in ids]
        (lists / f"{name}.txt").write_text("\n".join(pairs) + "\n")


@pytest.fixture
def root(tmp_path):
    write_voc2010(tmp_path / "VOC2010", [SHAPE] * 5, train=3)
    return tmp_path / "VOC2010"


def prepared(*arguments, **options):
    source = PersonPart(*arguments, **options)
    source.prepare()
    return source


@pytest.mark.parametrize("compressed", [True, False])
def test_parts_are_merged_and_images_without_them_left_out(root, tmp_path, compressed):
    write_mats(root / "Annotations_Part", do_compression=compressed)
    source = prepared(root, converted=tmp_path / "png")
    train, val = source.split("train"), source.split("val")
    assert (train.ids, val.ids) == (IDS[:1], IDS[3:])
    np.testing.assert_array_equal(train[0].mask, MERGED_MASK)
    np.testing.assert_array_equal(val[0].mask, 4 * box(8, 8))
    # the second person's foot covers the first one's torso
    np.testing.assert_array_equal(val[1].mask, np.where(box(2, 2), 6, 2 * box(0, 0)))
    names = ("background", "Head", "Torso", "Upper Arms", "Lower Arms", "Upper Legs", "Lower Legs")
    assert source.labels.names == names and len(val) == 2


def test_the_table_has_each_part_once():
    merged = {part: index for index, parts in enumerate(MERGED.values(), 1) for part in parts}
    assert merged == CLASSES and sum(len(parts) for parts in MERGED.values()) == 24


@pytest.mark.parametrize("place", ["pascal_person_part", "."])
def test_the_released_masks_are_read_as_they_are(root, tmp_path, place):
    write_released(root / place)
    source = prepared(root, converted=tmp_path / "png")
    assert not (tmp_path / "png").exists()
    assert (source.split("train").ids, source.split("val").ids) == (IDS[:1], IDS[3:])
    assert source.split("train").listed_in.name == "train_id.txt"
    assert [source.split("val")[i].mask.max() for i in range(2)] == [4, 6]
    assert inspect(source).splits["val"].palettes == {"palette of the classes": 2}
    # without its lists, VOC 2010's own, of which the images that have a mask count
    for file in (root / place / "pascal_person_part_trainval_list").iterdir():
        file.unlink()
    assert (prepared(root).split("train").ids, prepared(root).split("val").ids) == (IDS[:1], IDS[3:])


def test_the_annotations_and_the_lists_may_lie_elsewhere(root, tmp_path):
    write_mats(tmp_path / "part" / "trainval" / "Annotations_Part")
    for given in ("part", "part/trainval", "part/trainval/Annotations_Part"):
        assert prepared(root, tmp_path / given).split("train").ids == IDS[:1]
    (root / "val_id.txt").write_text(f"{IDS[3]}\n")
    assert prepared(root, tmp_path / "part").split("val").ids == IDS[3:4]
    (tmp_path / "own.txt").write_text(f"/JPEGImages/{IDS[4]}.jpg /gt/{IDS[4]}.png\n")
    assert prepared(root, tmp_path / "part", train=str(tmp_path / "own.txt")).listing("train").ids == IDS[4:]


def test_annotations_are_converted_once(root, tmp_path):
    write_mats(root / "Annotations_Part")
    seen = []
    source = PersonPart(root, converted=tmp_path / "png")
    source.prepare(lambda *about: seen.append(about))
    assert {about[2] for about in seen} == {3, 2} and "PASCAL-Part" in seen[0][0]
    assert json.loads((tmp_path / "png" / "train.json").read_text())["with_parts"] == IDS[:1]
    seen.clear()
    source.prepare(lambda *about: seen.append(about))
    assert not seen  # images without parts are not read again either
    (tmp_path / "png" / f"{IDS[4]}.png").unlink()
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (1, 1) and len(source.split("val")) == 2
    # another list is looked through anew
    (root / "ImageSets" / "Main" / "train.txt").write_text(f"{IDS[1]}\n{IDS[4]}\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text(f"{IDS[0]}\n{IDS[3]}\n")
    assert prepared(root, converted=tmp_path / "png").split("train").ids == IDS[4:]
    # a damaged index is made again
    (tmp_path / "png" / "train.json").write_text("{")
    assert prepared(root, converted=tmp_path / "png").split("train").ids == IDS[4:]


def test_pseudo_labels(root, tmp_path):
    write_mats(root / "Annotations_Part")
    (tmp_path / "pseudo").mkdir()
    Image.fromarray(np.full(SHAPE, 3, np.uint8)).save(tmp_path / "pseudo" / f"{IDS[0]}.png")
    source = prepared(root, train_masks=tmp_path / "pseudo", converted=tmp_path / "png")
    assert (source.split("train")[0].mask == 3).all() and len(source.split("train")) == 1


def test_a_check_finds_nothing_wrong(root, tmp_path):
    write_mats(root / "Annotations_Part")
    report = inspect(prepared(root, converted=tmp_path / "png"))
    assert not report.bad
    np.testing.assert_array_equal(report.splits["train"].pixels, np.bincount(MERGED_MASK.ravel(), minlength=7))


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        (
            "none",
            r"holds none of the folders .*pascal_person_part_gt, Annotations_Part.*pascal_person_part\.zip, or PASC",
        ),
        ("lost", r"2008_000000\.mat does not exist.*extract PASCAL-Part's trainval\.tar\.gz again"),
        ("cut", r"2008_000000\.mat cannot be read as a \.mat file"),
        ("other", r"2008_000000\.mat has no anno with objects"),
        ([("person", 15, box(0, 0), [("tail", box(0, 0))])], r"2008_000000\.mat has the part 'tail': a person's parts"),
        (
            [("person", 15, box(0, 0), [("head", box(0, 0)), ("neck", np.ones((2, 2)))])],
            r"2008_000000\.mat has parts of different sizes, \(2, 2\) and \(20, 24\)",
        ),
        ([("person", 15, box(0, 0), [("head", "mask")])], r"2008_000000\.mat has a part without a name or a mask"),
        ("nobody", r"has no part of a person in any image of .*train\.txt"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_sentence(root, tmp_path, objects, words):
    folder = root / "Annotations_Part"
    write_mats(folder)
    file = folder / f"{IDS[0]}.mat"
    if objects == "none":
        folder.rename(root / "parts")
    elif objects == "lost":
        file.unlink()
    elif objects == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif objects == "other":
        savemat(file, {"anno": {"imname": "a"}})
    else:
        savemat(file, part_annotation([("cat", 8, box(0, 0), [])] if objects == "nobody" else objects))
    with pytest.raises(UserError, match=words) as caught:
        prepared(root, converted=tmp_path / "png").split("train")
    assert "\n" not in str(caught.value)

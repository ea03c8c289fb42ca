"""Label Studio's export."""

import json

import numpy as np
import pytest

from deeplab_lit.data.folder import Folder
from deeplab_lit.utils.errors import UserError
from tests.data.exports import (
    CLASSES,
    base64_png,
    blocks,
    label_studio_results,
    labelme_json,
    picture,
    result,
    task,
    write_cvat,
    write_label_studio,
)

MASKS = {id: blocks(number) for number, id in enumerate(["a", "b 1", "c", "d", "e"])}
SIZE = (16, 20)
HALF = {"x": 0, "y": 0, "width": 50, "height": 100, "rotation": 0}


def opened(root, classes=CLASSES, masks="export.json", **more):
    source = Folder(root, list(classes), masks=masks, converted=root / "drawn", **more)
    source.prepare()
    return source


def read(source):
    splits = [source.split(name) for name in ("train", "val")]
    return {split.ids[i]: split[i].mask for split in splits for i in range(len(split))}


def export(root, tasks, names=("a.jpg",)):
    """Images of 20x16 pixels and an export."""
    for number, name in enumerate(names):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number, *SIZE).save(root / "images" / name)
    (root / "list.txt").write_text(f"{names[0].rsplit('.', 1)[0]}\n")
    (root / "export.json").write_text(tasks if isinstance(tasks, str) else json.dumps(tasks))
    return root


def one(root, results, **more):
    """The mask of a single image with these results."""
    tasks = [task(1, "a.jpg", results)]
    return opened(export(root, tasks), train="list", val="list", **more).split("train")[0].mask


def test_its_masks_are_those_that_were_drawn(tmp_path):
    found = read(opened(write_label_studio(tmp_path, MASKS)))
    assert set(found) == set(MASKS)
    for id, mask in MASKS.items():
        np.testing.assert_array_equal(found[id], mask)


def test_the_kinds_of_regions(tmp_path):
    png = "data:image/png;base64," + base64_png(blocks(0, *SIZE) == 1)
    mask = one(tmp_path, [result("bitmasklabels", "crack", SIZE, imageDataURL=png)])
    np.testing.assert_array_equal(mask == 1, blocks(0, *SIZE) == 1)
    rows, columns = np.mgrid[:16, :20] + 0.5
    ellipse = {"x": 50, "y": 50, "radiusX": 30, "radiusY": 25}
    for angle in (0, 90):
        mask = one(tmp_path, [result("ellipselabels", "crack", SIZE, **ellipse, rotation=angle)])
        across, down = (6, 4) if angle == 0 else (4, 6)
        inside = ((columns - 10) / across) ** 2 + ((rows - 8) / down) ** 2 <= 1
        assert (inside == (mask == 1)).all()
    # clockwise about its top left corner, so that it lies to the left of it
    rectangle = {"x": 50, "y": 25, "width": 30, "height": 25, "rotation": 90}
    mask = one(tmp_path, [result("rectanglelabels", "crack", SIZE, **rectangle)])
    expected = np.zeros(SIZE, bool)
    expected[4:10, 6:10] = True
    np.testing.assert_array_equal(mask == 1, expected)


def test_later_regions_lie_above_earlier_ones(tmp_path):
    top = {"x": 0, "y": 0, "width": 100, "height": 50, "rotation": 0}
    both = [result("rectanglelabels", "crack", SIZE, **HALF), result("rectanglelabels", "mould", SIZE, **top)]
    mask = one(tmp_path, both)
    assert (mask[:8] == 2).all() and (mask[8:, :10] == 1).all() and (mask[8:, 10:] == 0).all()
    mask = one(tmp_path, both[::-1])
    assert (mask[:, :10] == 1).all() and (mask[:8, 10:] == 2).all()


def test_a_shared_list_of_labels_gives_a_second_result_for_each_region(tmp_path):
    outline = result("rectangle", "crack", SIZE, **HALF)
    del outline["value"]["rectangle"]
    choice = {"type": "choices", "value": {"choices": ["indoor"]}, "from_name": "scene", "to_name": "image"}
    mask = one(tmp_path, [outline, result("labels", "crack", SIZE, **HALF), choice, {"type": "relation"}])
    assert (mask[:, :10] == 1).all() and (mask[:, 10:] == 0).all()


def test_the_annotation_that_counts(tmp_path):
    def made(label, day, **more):
        results = [result("rectanglelabels", label, SIZE, **HALF)]
        return {"result": results, "created_at": f"2025-02-{day:02}T10:00:00Z", "was_cancelled": False} | more

    for annotations, value in (
        ([made("crack", 2), made("mould", 1)], 1),
        ([made("mould", 1, ground_truth=True), made("crack", 2, ground_truth=False)], 2),
        ([made("mould", 1), made("crack", 2, was_cancelled=True)], 2),
    ):
        root = export(tmp_path, [task(1, "a.jpg", []) | {"annotations": annotations}])
        assert (opened(root, train="list", val="list").split("train")[0].mask[:, :10] == value).all()


def test_a_task_that_was_submitted_without_regions_is_background(tmp_path):
    assert not one(tmp_path, []).any()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"image": "/data/upload/3/0a1b2c3d-a%20b.jpg"}, "a b.jpg"),
        ({"image": "/data/upload/3/0a1b2c3d-a.jpg"}, "0a1b2c3d-a.jpg"),
        ({"image": "/data/local-files/?d=mine/images/day/a.jpg"}, "day/a.jpg"),
        ({"image": "s3://bucket/photos/a.jpg"}, "a.jpg"),
        ({"image": "https://example.com/a.jpg?size=1#x"}, "a.jpg"),
        ({"text": "a crack", "img": "gs://bucket/day/a.jpg"}, "day/a.jpg"),
    ],
)
def test_a_task_finds_its_image(tmp_path, data, name):
    tasks = [task(1, "", [result("rectanglelabels", "crack", SIZE, **HALF)], data=data)]
    root = export(tmp_path, tasks, (name, "other.jpg", "night/a.png"))
    mask = opened(root, train="list", val="list").split("train")[0].mask
    assert (mask[:, :10] == 1).all()


def test_tasks_without_an_annotation_leave_their_image_without_a_mask(tmp_path):
    root = write_label_studio(tmp_path, MASKS)
    tasks = json.loads((root / "export.json").read_text())
    tasks[1]["annotations"], tasks[3]["annotations"][0]["was_cancelled"] = [], True
    (root / "export.json").write_text(json.dumps(tasks))
    with pytest.raises(UserError, match=r"not exist: .*data\.missing_masks=leave_out"):
        read(opened(root))
    assert set(read(opened(root, missing_masks="leave_out"))) == set(MASKS) - {"b 1", "d"}


def test_masks_are_drawn_once_and_anew_for_another_export(tmp_path):
    root = write_label_studio(tmp_path, MASKS)
    opened(root)
    drawn = {file: file.stat().st_mtime_ns for file in (root / "drawn").rglob("*.png")}
    assert len(drawn) == len(MASKS)
    next(iter(drawn)).write_bytes(b"")  # as a crash of the machine leaves it
    found = read(opened(root))
    np.testing.assert_array_equal(found["a"], MASKS["a"])
    same = {file: file.stat().st_mtime_ns for file in (root / "drawn").rglob("*.png")}
    assert set(same) == set(drawn) and sum(same[file] != drawn[file] for file in drawn) == 1
    tasks = json.loads((root / "export.json").read_text())
    tasks[0]["annotations"][0]["result"] = label_studio_results(blocks(9))
    (root / "export.json").write_text(json.dumps(tasks))
    np.testing.assert_array_equal(read(opened(root))["a"], blocks(9))


def test_brush_pngs_alone_do_not_name_their_images(tmp_path):
    root = export(tmp_path, [], ("a.jpg", "b.jpg"))
    (root / "masks").mkdir()
    picture(0, *SIZE).convert("L").save(root / "masks" / "task-3-annotation-3-by-1-tag-crack-0.png")
    with pytest.raises(UserError, match=r"0\.png is one of Label Studio's brush PNGs, which do not name their"):
        opened(root, masks="masks").split("val")


def test_labels_of_no_class_are_named(tmp_path):
    with pytest.raises(UserError, match=r"1 region\(s\) have the label 'cracks', .*Did you mean 'crack'"):
        one(tmp_path, [result("rectanglelabels", "cracks", SIZE, **HALF)])


CRACK = result("rectanglelabels", "crack", SIZE, **HALF)
COCO = {"images": [], "annotations": [], "categories": []}


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("nonsense", "cannot be read as JSON"),
        (json.dumps(COCO), "no JSON of Label Studio, which is a list of tasks.*it is COCO's JSON: .*data=coco"),
        (labelme_json([], SIZE), r"it is labelme's JSON of one image: .*data\.masks=FOLDER"),
        (json.dumps([{"id": 1, "annotation_id": 3, "image": "a.jpg"}]), "Label Studio's JSON-MIN: export JSON instead"),
        (json.dumps([{"id": 1}]), "a list of objects that hold 'id'"),
        (
            [task(1, "z.jpg", [CRACK])],
            r"task 1 of .*z\.jpg.* has no image in \S+images \(1 of 1 such\): .*data\.images",
        ),
        ([task(1, "a.jpg", [CRACK]), task(2, "a.jpg", [CRACK])], "task 2 and task 1 are of the same image"),
        ([task(1, "a.jpg", [CRACK | {"original_width": 21}])], r"of an image of 21x16 .*a\.jpg has 20x16"),
        ([task(1, "a.jpg", [CRACK | {"original_width": None}])], "task 1, result 1: an image has a side of None"),
        ([task(1, "a.jpg", [CRACK, CRACK | {"original_width": 40}])], "regions in images of the sizes"),
        ([task(1, "a.jpg", [CRACK | {"image_rotation": 90}])], "turned by 90 degrees in Label Studio: turn the image"),
        ([task(1, "a.jpg", [{"value": {}}])], "task 1, result 1 has no type"),
        ([task(1, "a.jpg", [CRACK | {"value": {"rectanglelabels": ["a", "b"]}}])], r"has the labels \['a', 'b'\]"),
        ([task(1, "a.jpg", [CRACK | {"value": 3}])], "has the labels None: a region has one"),
        (
            [task(1, "a.jpg", [result("keypointlabels", "crack", SIZE, x=1, y=2, width=1)])],
            "type 'keypointlabels'",
        ),
        ([task(1, "a.jpg", [result("brushlabels", "crack", SIZE, rle=[0, 1, 1])])], "has a brush code of another size"),
        (
            [task(1, "a.jpg", [result("polygonlabels", "crack", SIZE, points=[[1, 2]])])],
            "a polygon without three",
        ),
        ([task(1, "a.jpg", [result("rectanglelabels", "crack", SIZE, **HALF | {"x": None})])], "None where a number"),
        ([task(1, "a.jpg", [result("bitmasklabels", "crack", SIZE, imageDataURL="x")])], "no PNG in base64"),
        ([task(1, "a.jpg", [result("ellipselabels", "crack", SIZE, x=1, y=1, radiusX=0, radiusY=3)])], "the radii 0"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, tasks, words):
    root = export(tmp_path, tasks)
    with pytest.raises(UserError, match=words) as caught:
        opened(root, train="list", val="list")
    assert "\n" not in str(caught.value) and str(tmp_path / "export.json") in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    root = export(tmp_path, [])
    with pytest.raises(UserError, match=r"other\.json does not exist: give data\.masks="):
        opened(root, masks="other.json")


def test_a_class_list_of_cvat_serves_too(tmp_path):
    write_cvat(tmp_path / "cvat", {})
    root = write_label_studio(tmp_path / "studio", MASKS)
    source = Folder(root, tmp_path / "cvat" / "labelmap.txt", masks="export.json", converted=tmp_path / "drawn")
    source.prepare()
    np.testing.assert_array_equal(read(source)["a"], MASKS["a"])

"""labelme's annotations."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.folder import Folder
from deeplab_lit.utils.errors import UserError
from tests.data.exports import CLASSES, blocks, labelme_json, labelme_shape, picture, write_labelme
from tests.data.layouts import write_pairs

MASKS = {id: blocks(number) for number, id in enumerate(["a", "b 1", "day 2/c", "d", "e"])}
SQUARE = [[2, 3], [10, 3], [10, 9], [2, 9]]


def opened(root, classes="labels.txt", **more):
    """A data set of labelme's files beside their images, with its masks drawn."""
    classes = root / classes if isinstance(classes, str) else classes
    source = Folder(root, classes, ".", ".", converted=root / ".masks", **more)
    source.prepare()
    return source


def read(source):
    splits = [source.split(name) for name in ("train", "val")]
    return {split.ids[i]: split[i].mask for split in splits for i in range(len(split))}


def one(root, shapes, classes=("background", "crack", "mould"), **more):
    """The mask of a single image of 20x16 pixels with these shapes."""
    picture(0, 16, 20).save(root / "a.png")
    (root / "a.json").write_text(labelme_json(shapes, (16, 20), "a.png", **more))
    (root / "a.txt").write_text("a\n")
    return opened(root, list(classes), train="a", val="a").split("train")[0].mask


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_its_masks_are_those_that_were_drawn(tmp_path, ending):
    source = opened(write_labelme(tmp_path, MASKS, ending))
    assert source.labels.names == ("_background_", *CLASSES[1:])
    found = read(source)
    assert set(found) == set(MASKS)
    for id, mask in MASKS.items():
        np.testing.assert_array_equal(found[id], mask)


def test_files_in_a_folder_of_their_own_beside_pngs(tmp_path):
    root = write_labelme(tmp_path / "images", MASKS)
    for file in sorted(root.rglob("*.json")):
        target = tmp_path / "masks" / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    Image.fromarray(blocks(9)).save(tmp_path / "masks" / "a.png")  # a PNG comes first
    (tmp_path / "masks" / "d.json").unlink()
    Image.fromarray(blocks(8)).save(tmp_path / "masks" / "d.png")
    source = Folder(tmp_path, root / "labels.txt", converted=tmp_path / "drawn")
    source.prepare()
    found = read(source)
    for id, mask in (MASKS | {"a": blocks(9), "d": blocks(8)}).items():
        np.testing.assert_array_equal(found[id], mask)


def test_later_shapes_lie_above_earlier_ones_and_a_rectangle_has_any_two_corners(tmp_path):
    above = [labelme_shape("mould", SQUARE), labelme_shape("crack", [[12, 9], [4, 5]], "rectangle")]
    mask = one(tmp_path, above)
    expected = np.zeros((16, 20), np.uint8)
    expected[3:9, 2:10], expected[5:9, 4:12] = 2, 1
    np.testing.assert_array_equal(mask, expected)


def test_a_circle_has_a_centre_and_a_point_of_its_rim(tmp_path):
    mask = one(tmp_path, [labelme_shape("crack", [[10, 8], [13, 12]], "circle")])
    rows, columns = np.mgrid[:16, :20] + 0.5
    np.testing.assert_array_equal(mask == 1, (columns - 10) ** 2 + (rows - 8) ** 2 <= 25)


def test_files_of_early_versions_have_polygons_without_a_type_and_no_size(tmp_path):
    shape = labelme_shape("crack", SQUARE)
    del shape["shape_type"], shape["group_id"], shape["flags"]
    assert (one(tmp_path, [shape], imageHeight=None, imageWidth=None) == 1).sum() == 48


def test_outlines_differ_from_labelmes_own_by_the_pixels_of_the_outline_alone(tmp_path):
    from PIL import ImageDraw

    corners = [[3.2, 2.1], [17.4, 5.3], [9.6, 14.2]]
    mask = one(tmp_path, [labelme_shape("crack", corners)])
    theirs = Image.new("L", (20, 16))
    ImageDraw.Draw(theirs).polygon([tuple(each) for each in corners], outline=1, fill=1)  # as its converter draws
    differ = np.array(theirs) != mask
    rim = Image.new("L", (20, 16))
    ImageDraw.Draw(rim).polygon([tuple(each) for each in corners], outline=1, fill=0)
    assert differ.any() and not (differ & (np.array(rim) == 0)).any()


def test_ignored_regions_are_void_and_so_are_labels_of_lines_with_255(tmp_path):
    shapes = [
        labelme_shape("crack", SQUARE),
        labelme_shape("__ignore__", [[0, 0], [5, 5]], "rectangle"),
        labelme_shape("blur", [[15, 10], [20, 16]], "rectangle"),
        labelme_shape("_background_", [[8, 3], [10, 9]], "rectangle"),
    ]
    mask = one(tmp_path, shapes, ("background", "crack", "255 blur"))
    assert (mask[:5, :5] == 255).all() and (mask[10:, 15:] == 255).all() and (mask == 255).sum() == 25 + 30
    assert (mask == 1).sum() == 48 - 2 * 3 - 2 * 6


def test_pixels_outside_all_shapes_without_a_class_background(tmp_path):
    shapes = [labelme_shape("crack", SQUARE)]
    words = r"a\.json has 272 pixel\(s\) outside all regions, .*names no class for them: add the line `background`"
    with pytest.raises(UserError, match=words):
        one(tmp_path, shapes, ("crack", "mould"))
    mask = one(tmp_path, shapes, ("crack", "mould", "255 void"))
    assert (mask == 255).sum() == 272 and (mask == 0).sum() == 48
    mask = one(tmp_path, shapes, ("crack", "mould", "background"))
    assert (mask == 2).sum() == 272 and (mask == 0).sum() == 48


def test_labels_of_no_class_are_counted_in_all_files(tmp_path):
    root = write_labelme(tmp_path, MASKS)
    for id in ("a", "d"):
        shapes = [labelme_shape("crakc", SQUARE), labelme_shape("crakc", SQUARE), labelme_shape("moss", SQUARE)]
        (root / f"{id}.json").write_text(labelme_json(shapes, (24, 32)))
    words = (
        r"4 region\(s\) have the label 'crakc', the first on \S+/[ad]\.jpg, which data\.classes does not name "
        r"\(1 other label\(s\) too\): add the line `crakc`, or `255 crakc` for void.*Did you mean 'crack'\?"
    )
    with pytest.raises(UserError, match=words) as caught:
        opened(root)
    assert "\n" not in str(caught.value)


def test_json_of_any_kind_may_lie_beside_pngs(tmp_path):
    root = write_pairs(tmp_path, [f"{i}" for i in range(4)])
    (root / "masks" / "0.json").write_text("[1, 2")
    (root / "masks" / "meta.json").write_text("// no JSON")
    source = Folder(root, root / "classes.txt")
    source.prepare()
    assert set(read(source)) == {"0", "1", "2", "3"}


def test_a_key_for_pngs_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.binary=true is for PNGs, but .* has annotations of JSON: leave it out"):
        opened(write_labelme(tmp_path, MASKS), ["background", "crack"], binary=True)


def test_all_bad_files_are_named_and_the_others_are_drawn(tmp_path):
    root = write_labelme(tmp_path, MASKS)
    for id, label, kind in (("a", "crack", "line"), ("e", "Crack", "polygon"), ("d", "crack", "line")):
        (root / f"{id}.json").write_text(labelme_json([labelme_shape(label, SQUARE, kind)], (24, 32)))
    with pytest.raises(UserError) as raised:
        opened(root)
    lines = str(raised.value).splitlines()
    assert len(lines) == 3 and "1 region(s) have the label 'Crack'" in lines[0]
    assert [line.split(": shape")[0] for line in lines[1:]] == [str(root / "a.json"), str(root / "d.json")]
    assert len(list((root / ".masks").rglob("*.png"))) == len(MASKS) - 3


def test_masks_are_drawn_once_and_anew_when_a_file_or_the_list_changes(tmp_path):
    root = write_labelme(tmp_path, MASKS)
    masks = read(opened(root))
    drawn = {file: file.stat().st_mtime_ns for file in (root / ".masks").rglob("*.png")}
    assert len(drawn) == len(masks)
    opened(root)
    assert {file: file.stat().st_mtime_ns for file in (root / ".masks").rglob("*.png")} == drawn
    # as a killed process leaves it
    next(iter(drawn)).unlink()
    found = read(opened(root))
    for id, mask in MASKS.items():
        np.testing.assert_array_equal(found[id], mask)
    (root / "a.json").write_text(labelme_json([labelme_shape("mould", SQUARE)], (24, 32)))
    assert (read(opened(root))["a"] == 2).sum() == 48
    (root / "labels.txt").write_text("_background_\nmould\ncrack\n")
    found = read(opened(root))
    assert (found["a"] == 1).sum() == 48
    np.testing.assert_array_equal(found["d"], np.array([0, 2, 1], np.uint8)[MASKS["d"]])


def test_an_image_turned_by_its_exif_tag_is_as_labelme_shows_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(0, 20, 16).save(tmp_path / "a.jpg", exif=exif)  # 16 wide and 20 high, shown 20 wide and 16 high
    (tmp_path / "a.json").write_text(labelme_json([labelme_shape("crack", SQUARE)], (16, 20)))
    (tmp_path / "a.txt").write_text("a\n")
    example = opened(tmp_path, ["background", "crack"], train="a", val="a").split("train")[0]
    assert example.image.shape == (16, 20, 3) and (example.mask == 1).sum() == 48


def test_images_without_a_file_may_be_left_out(tmp_path):
    root = write_labelme(tmp_path, MASKS)
    picture(7).save(root / "new.jpg")
    with pytest.raises(UserError, match=r"lists 'new', but \S+new\.json does not exist: .*missing_masks=leave_out"):
        read(opened(root))
    assert set(read(opened(root, missing_masks="leave_out"))) == set(MASKS)


COCO = {"images": [], "annotations": [], "categories": []}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", r"a\.json cannot be read as JSON"),
        ("[" * 100000, r"a\.json cannot be read as JSON"),
        (json.dumps(COCO), r"a\.json is no JSON of labelme.*it is COCO's JSON: .*type data=coco data\.classes=file"),
        (json.dumps([{"id": 1, "annotations": []}]), r"Label Studio's JSON of all tasks: .*data\.masks=FILE"),
        (json.dumps({"_via_settings": {}}), r"VGG Image Annotator's JSON: .*data=coco"),
        (json.dumps({"regions": 1, "name": 2}), r"no JSON of labelme, .*it holds 'name', 'regions'\.$"),
        ("[]", r"it is \[\]\.$"),
        (labelme_json([labelme_shape("crack", SQUARE)], (16, 21)), r"is of an image of 21x16 .*a\.png has 20x16"),
        (labelme_json([], (16, 20.5)), "a side of 20.5 pixels"),
        (labelme_json([labelme_shape(3, SQUARE)], (16, 20)), "shape 1 has no label"),
        (
            labelme_json([labelme_shape("crack", SQUARE[:2])], (16, 20)),
            r"shape 1 \('crack'\) has a polygon without",
        ),
        (labelme_json([labelme_shape("crack", [[1, 2], [3]])], (16, 20)), r"shape 1 .*a list of \[x, y\] pairs"),
        (labelme_json([labelme_shape("crack", [[1, 2], [3, "x"], [1, 1]])], (16, 20)), "has 'x' where a number is"),
        (labelme_json([labelme_shape("crack", SQUARE, "line")], (16, 20)), "is a line, which covers no pixels: delete"),
        (labelme_json([labelme_shape("crack", SQUARE, "star")], (16, 20)), "is a 'star': shapes that are drawn are"),
        (labelme_json([labelme_shape("crack", SQUARE, "circle")], (16, 20)), r"is a circle of 4 point\(s\): it has 2"),
        (labelme_json([labelme_shape("crack", SQUARE[:2], "mask")], (16, 20)), "is a mask without its bitmap"),
        (labelme_json([labelme_shape("crack", SQUARE[:2], "mask", mask="??")], (16, 20)), "no PNG in base64"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, content, words):
    picture(0, 16, 20).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(content)
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(UserError, match=words) as caught:
        opened(tmp_path, ["background", "crack"], train="a", val="a")
    assert "\n" not in str(caught.value) and str(tmp_path / "a.json") in str(caught.value)


def test_files_without_an_image_are_named(tmp_path):
    root = write_labelme(tmp_path, MASKS)
    (root / "gone.json").write_text(labelme_json([], (24, 32)))
    with pytest.raises(UserError, match=r"gone\.json is a mask without an image: .*no picture called 'gone'"):
        opened(root)
    (root / "gone.json").write_text(json.dumps(COCO))
    assert set(read(opened(root))) == set(MASKS)  # beside masks it may be anything
    for id in MASKS:
        (root / f"{id}.json").unlink()
    with pytest.raises(UserError, match=r"gone\.json is no JSON of labelme; it is COCO's JSON: .*data=coco"):
        opened(root).split("val")


@pytest.mark.skipif(os.name == "nt", reason="folders that are files")
def test_a_folder_for_masks_that_cannot_be_made(tmp_path):
    root = write_labelme(tmp_path, MASKS)
    (root / ".masks").write_text("")
    with pytest.raises(UserError, match="choose another data.converted=FOLDER"):
        opened(root)

"""Class lists as people and programs write them."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.class_list import label_values, read_class_list
from deeplab_lit.data.image_files import write_mask
from deeplab_lit.data.labels import voc_colour
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.utils.errors import UserError

SKY, ROAD = (128, 128, 128), (128, 64, 128)

LISTS = {
    "colours": "sky 128 128 128\n# a comment\n\ntraffic  light\t128 64 128  # another\n",
    "cvat": "# label:color_rgb:parts:actions\nsky:128,128,128::\ntraffic light:128,64,128:a,b:\n",
    "numbers": "1 traffic light 128 64 128\n0 sky 128 128 128\n",
    "numbers and colons": "0: sky 128 128 128\n1: traffic light 128 64 128\n",
    "numbers in cvat's": "0 sky:128,128,128::\n1 traffic light:128,64,128::\n",
}


@pytest.mark.parametrize("how", LISTS)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_names_and_colours(tmp_path, how, bom):
    path = tmp_path / "classes.txt"
    path.write_bytes(bom + LISTS[how].replace("\n", "\r\n").encode())
    labels, coding = read_class_list(path)
    assert labels.names == ("sky", "traffic light") and labels.palette == (SKY, ROAD)
    assert coding.colours == (SKY, ROAD) and coding.names == labels.names and coding.void == voc_colour(255)


WITHOUT_COLOURS = {
    "names": "sky\ntraffic light\n",
    "numbers": "1 traffic light\n0 sky\n",
    "numbers and colons": "0: sky\n1: traffic light\n255: void\n",
    "labelme's": "__ignore__\nsky\ntraffic light\n",
}
VOIDS = {
    "": voc_colour(255),
    "255 void 0 0 0\n": (0, 0, 0),
    "255 blur:1,2,3::\n": (1, 2, 3),
    "__ignore__ 4 5 6": (4, 5, 6),
}


@pytest.mark.parametrize("void", VOIDS)
@pytest.mark.parametrize("how", LISTS)
@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA"])
def test_an_index_painted_in_the_colours_of_a_list_is_read_as_that_index(tmp_path, how, void, mode):
    (tmp_path / "classes.txt").write_text(LISTS[how] + void)
    labels, coding = read_class_list(tmp_path / "classes.txt")
    mask = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (40, 50))
    palette = np.zeros((256, 3), np.uint8)
    palette[:2], palette[255] = (SKY, ROAD), VOIDS[void]
    write_mask(mask, palette, tmp_path / "a.png")
    if mode == "L":
        Image.fromarray(mask).save(tmp_path / "a.png")
    elif mode != "P":
        Image.fromarray(palette[mask]).convert(mode).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode and labels.names == ("sky", "traffic light")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", coding), mask)


@pytest.mark.parametrize("how", WITHOUT_COLOURS)
@pytest.mark.parametrize("mode", ["P", "L"])
def test_an_index_is_read_as_that_index_with_a_list_without_colours(tmp_path, how, mode):
    (tmp_path / "classes.txt").write_text(WITHOUT_COLOURS[how])
    labels, coding = read_class_list(tmp_path / "classes.txt")
    mask = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (40, 50))
    write_mask(mask, labels.colours, tmp_path / "a.png")
    if mode == "L":
        Image.fromarray(mask).save(tmp_path / "a.png")
    assert labels.names == ("sky", "traffic light")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", coding), mask)


def test_labels_of_regions_and_what_lies_outside_them():
    assert label_values(["sky", "background"]) == (
        {"__ignore__": 255, "sky": 0, "background": 1, "_background_": 1},
        1,
    )
    assert label_values(["__ignore__", "_background_", "car 1 2 3", "255 blur"])[1] == 0
    values, outside = label_values(["sky 1 2 3", "car 4 5 6", "255 blur 7 8 9"])
    assert values == {"__ignore__": 255, "blur": 255, "sky": 0, "car": 1} and outside == 255
    assert label_values(["sky", "car"])[1] is None


@pytest.mark.parametrize("text", ["sky\nroad 2\n", "0 sky\n1 road 2\n", "1: road 2\n0: sky\n255: void\n"])
def test_names_without_colours(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    for given in (tmp_path / "classes.txt", str(tmp_path / "classes.txt"), text.split("\n")):
        labels, coding = read_class_list(given)
        assert labels.names == ("sky", "road 2") and not coding.colours
        assert labels.palette == (voc_colour(0), voc_colour(1))


def test_a_number_that_is_not_on_each_line_belongs_to_the_name():
    assert read_class_list(["background", "1 euro", "2 euro"])[0].names == ("background", "1 euro", "2 euro")


def test_the_number_255_gives_the_colour_of_void():
    labels, coding = read_class_list(["sky 1 2 3", "255 void 0 0 0", "road 4 5 6"])
    assert labels.names == ("sky", "road") and coding.void == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 classes"),
        ("one\n", "1 classes"),
        ("a\nb\na\n", "'a' is named twice"),
        ("a 1 2 300\nb\n", "line 1: a colour is three numbers from 0 to 255, not 1, 2, 300"),
        ("a:1,2,300::\nb:1,2,3::\n", "line 1: a colour is three numbers from 0 to 255"),
        ("a 1 2 3\nb\n", "'b' has no colour"),
        ("1 a\n2 b\n", r"c\.txt begins each line with a number.*from 0 to 1 once"),
        ("0 a\n0 b\n", r"c\.txt begins each line with a number"),
        (b"\xff\xfea\x00\n\x00", r"c\.txt is not a text file"),
    ],
)
def test_bad_class_lists(tmp_path, text, words):
    (tmp_path / "c.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=words) as caught:
        read_class_list(tmp_path / "c.txt")
    assert "\n" not in str(caught.value)


def test_missing_class_list(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.txt does not exist"):
        read_class_list(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match="is a folder: give a text file"):
        read_class_list(tmp_path)

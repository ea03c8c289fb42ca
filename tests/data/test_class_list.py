"""Class lists as people and programs write them."""

import pytest

from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.labels import voc_colour
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

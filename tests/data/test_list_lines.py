"""Every form of a line in the lists that code bases of segmentation hand out."""

import pytest

from deeplab_lit.data.list_lines import ListLine, parse_line
from deeplab_lit.utils.errors import UserError


@pytest.mark.parametrize(
    ("line", "id", "paths", "tags"),
    [
        ("2007_000032", "2007_000032", None, None),
        ("9", "9", None, None),
        ("000000000009", "000000000009", None, None),
        ("COCO_train2014_000000000009", "COCO_train2014_000000000009", None, None),
        ("2007_000032 45 49 50", "2007_000032", None, (45, 49, 50)),
        ("2007_000032 0", "2007_000032", None, (0,)),
        ("000000000009\t45  49", "000000000009", None, (45, 49)),
        ("COCO_train2014_000000000009 0 79", "COCO_train2014_000000000009", None, (0, 79)),
        (
            "/JPEGImages/a.jpg /SegmentationClassAug/a.png",
            "",
            ("/JPEGImages/a.jpg", "/SegmentationClassAug/a.png"),
            None,
        ),
        ("JPEGImages/a.jpg SegmentationClass/a.png", "", ("JPEGImages/a.jpg", "SegmentationClass/a.png"), None),
        ("1/2 3/4", "", ("1/2", "3/4"), None),
        ("/J/a.jpg /S/a.png 5 7", "", ("/J/a.jpg", "/S/a.png"), (5, 7)),
        ("train/a 5", "train/a", None, (5,)),
        ("train/a", "train/a", None, None),
        ("my photo", "my photo", None, None),
        ("my photo 5", "my photo 5", None, None),
        ("a -1", "a -1", None, None),
        ("a 1.5", "a 1.5", None, None),
        ("a ²", "a ²", None, None),
        ("a 20071231", "a 20071231", None, None),
    ],
)
def test_lines(line, id, paths, tags):
    assert parse_line(line, "list.txt") == ListLine(id, paths, tags)


def test_a_number_for_each_class_is_no_list_of_classes():
    with pytest.raises(UserError, match="list.txt has a class twice in the line 'a 0 1 0 0'.*not a number for each"):
        parse_line("a 0 1 0 0", "list.txt")

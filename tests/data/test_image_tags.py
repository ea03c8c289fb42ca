"""Image tags, as the lists of code bases of weak supervision have them."""

import pytest

from deeplab_lit.data.image_tags import check_tags, read_tags
from deeplab_lit.utils.errors import UserError


def written(folder, text):
    (folder / "tags.txt").write_text(text)
    return str(folder / "tags.txt")


def test_numbers_are_counted_from_the_first_foreground_class_or_from_the_background(tmp_path):
    path = written(tmp_path, "a 0 14\nb\n/JPEGImages/c.jpg /SegmentationClassAug/c.png 19\n")
    assert read_tags(path, "foreground", 21) == {"a": {1, 15}, "b": set(), "c": {20}}
    assert read_tags(path, "background", 21) == {"a": {14}, "b": set(), "c": {19}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 0 20\n", "has the tag 20 of 'a', which is class 21 with tags_zero_is=foreground: there are 21 classes"),
        ("a\nb\n", "has no tags: behind each id stand"),
        ("a 0\na 1\n", "names 'a' twice"),
        ("a 0 0\n", "has a class twice"),
        ("", "is empty"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read_tags(written(tmp_path, text), "foreground", 21)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"tags=.*nowhere.txt does not exist: give a text file"):
        read_tags(str(tmp_path / "nowhere.txt"), "foreground", 21)
    with pytest.raises(UserError, match="tags_zero_is=foregrond: choose foreground or background. Did you mean 'foreg"):
        read_tags("x", "foregrond", 21)
    with pytest.raises(UserError, match=r"tags=list.txt does not name 'b' \(2 such in all\)"):
        check_tags({"a": frozenset({1})}, ["a", "b", "c"], "list.txt")

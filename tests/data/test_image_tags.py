"""Image tags, as the lists of code bases of weak supervision have them."""

import pickle

import numpy as np
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


def one_hot(*classes, length=20):
    vector = np.zeros(length, np.float32)
    vector[list(classes)] = 1
    return vector


def test_vectors_of_zeros_and_ones_by_image(tmp_path):
    """cls_labels.npy: PSA and SEAM have texts as keys, IRN has the digits of VOC's ids."""
    np.save(tmp_path / "seam.npy", {"2007_000032": one_hot(0, 14), "2007_000039": one_hot(19)}, allow_pickle=True)
    np.save(tmp_path / "irn.npy", {2007000032: one_hot(0, 14), 2007000039: one_hot(19)}, allow_pickle=True)
    numbered = {"2007_000032": one_hot(0, 14).astype(int), "2007_000039": one_hot(19).tolist()}
    (tmp_path / "seam.pkl").write_bytes(pickle.dumps(numbered))
    for name in ("seam.npy", "irn.npy", "seam.pkl"):
        found = read_tags(str(tmp_path / name), "foreground", 21)
        assert found == {"2007_000032": {1, 15}, "2007_000039": {20}}, name
    with_background = {"a": one_hot(0, 1, 15, length=21), "b": one_hot(0, length=21)}
    np.save(tmp_path / "tags.npy", with_background, allow_pickle=True)
    assert read_tags(str(tmp_path / "tags.npy"), "background", 21) == {"a": {1, 15}, "b": set()}


def test_thousands_of_images(tmp_path):
    many = {f"2007_{number:06}": one_hot(number % 20) for number in range(5_000)}
    np.save(tmp_path / "cls_labels.npy", many, allow_pickle=True)
    found = read_tags(str(tmp_path / "cls_labels.npy"), "foreground", 21)
    assert len(found) == 5_000 and found["2007_000041"] == {2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": one_hot(0, length=21)}, "vectors of 21 numbers for 20 classes: type tags_zero_is=background"),
        ({"a": one_hot(0, length=9)}, "vectors of 9 numbers for 20 classes: give the class list"),
        ({"a": one_hot(0), "b": one_hot(0, length=21)}, "vectors of 20 and of 21 numbers"),
        ({"a": one_hot(0) / 2}, "holds 0.5 for 'a': a vector of tags holds 0 and 1"),
        ({"a": one_hot(0) * np.nan}, "holds nan for 'a'"),
        ({"a": "cat"}, "'a' has a str: give a dict from ids to vectors of 0 and 1"),
        (one_hot(0), "it holds no dict from ids to vectors of 0 and 1"),
        ({}, "has no tags"),
        ({"a": one_hot()}, "has no tags"),
    ],
)
def test_vectors_that_are_none_are_refused(tmp_path, content, words):
    np.save(tmp_path / "tags.npy", content, allow_pickle=True)
    with pytest.raises(UserError, match=words) as caught:
        read_tags(str(tmp_path / "tags.npy"), "foreground", 21)
    assert "tags.npy" in str(caught.value)


def test_nothing_in_a_pickle_of_tags_is_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("it was run",))

    (tmp_path / "tags.pkl").write_bytes(pickle.dumps({"a": Harmful()}))
    with pytest.raises(UserError, match=r"tags.pkl: it is a pickle that names .*Fail"):
        read_tags(str(tmp_path / "tags.pkl"), "foreground", 21)

"""Pairs of folders."""

import pytest

from deeplab_lit.data.folder import Folder
from deeplab_lit.utils.errors import UserError
from tests.data.layouts import write_pairs


def test_a_pair_of_folders_in_its_three_ways(tmp_path):
    names = [f"shot {i}" for i in range(40)]
    root = write_pairs(tmp_path / "flat", names, ".bmp")
    source = Folder(root, root / "classes.txt", val_share=0.25)
    train, val = source.split("train"), source.split("val")
    assert sorted(train.ids + val.ids) == sorted(names) and 4 <= len(val) <= 16
    assert train[0].image.shape == (20, 30, 3) and source.labels.names == ("ground", "crack")
    # more images leave the others where they were
    write_pairs(root, ["another", "one more"], ".bmp")
    assert set(val.ids) <= set(Folder(root, root / "classes.txt", val_share=0.25).split("val").ids)
    (root / "a.txt").write_text("shot 3\nshot 1\n")
    (root / "b.txt").write_text("shot 2\n")
    assert Folder(root, root / "classes.txt", train="a", val="b").split("train").ids == [
        "shot 3",
        "shot 1",
    ]
    split = write_pairs(tmp_path / "split", ["train/x", "train/y", "val/x"])
    source = Folder(split, split / "classes.txt")
    assert source.split("train").ids == ["train/x", "train/y"] and source.split("val").ids == ["val/x"]


def test_folders_that_do_not_match(tmp_path):
    names = [f"{i}" for i in range(30)]
    root = write_pairs(tmp_path / "flat", names)

    def make(**more):
        return Folder(root, root / "classes.txt", **more)

    (root / "masks" / "5.png").rename(root / "masks" / "five.png")
    with pytest.raises(UserError, match=r"five\.png is a mask without an image|lists '5', but .*masks/5\.png does not"):
        [make().split(name) for name in ("train", "val")]
    (root / "masks" / "five.png").unlink()
    with pytest.raises(UserError, match=r"lists '5', but .*masks/5\.png does not exist"):
        [make().split(name) for name in ("train", "val")]
    (root / "images" / "5.jpg").unlink()
    [make().split(name) for name in ("train", "val")]
    (root / "images" / "7.png").write_bytes((root / "images" / "7.jpg").read_bytes())
    with pytest.raises(UserError, match=r"7\.jpg and .*7\.png share the name '7'"):
        make().split("train")
    with pytest.raises(UserError, match="give both lists or neither"):
        make(train="a")
    with pytest.raises(UserError, match="photos is not a folder"):
        make(images="photos")
    (root / "classes.txt").write_text("# nothing yet\n")
    with pytest.raises(UserError, match=r"classes\.txt.*0 classes"):
        make()

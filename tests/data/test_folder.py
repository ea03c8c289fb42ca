"""Pairs of folders."""

import numpy as np
import pytest
from PIL import Image

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
    (root / "masks" / "six.png").write_bytes((root / "masks" / "five.png").read_bytes())
    with pytest.raises(UserError, match=r"no picture called 'five'; nor for six\.png\. Add the image, or"):
        make()._refuse_lonely_masks(dict.fromkeys(names))
    (root / "masks" / "six.png").unlink()
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


def masks_of(root, values, mode="L"):
    for file in (root / "masks").rglob("*.png"):
        rng = np.random.default_rng(len(file.name))
        Image.fromarray(rng.choice(np.array(values, np.uint8), (20, 30))).convert(mode).save(file)


def test_masks_of_0_and_255(tmp_path):
    root = write_pairs(tmp_path, ["train/a", "val/b"])
    masks_of(root, [0, 255])
    mask = Folder(root, root / "classes.txt", binary=True).split("train")[0].mask
    np.testing.assert_array_equal(mask, np.array(Image.open(root / "masks" / "train" / "a.png")) // 255)
    assert set(np.unique(mask)) == {0, 1}
    with pytest.raises(UserError, match=r"data\.binary=true is for 2 classes, but .* names 3"):
        Folder(root, ["a", "b", "c"], binary=True)


def test_masks_as_cvat_writes_them(tmp_path):
    root = write_pairs(tmp_path, ["train/a", "val/b"])
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nground:0,0,0::\ncrack:250,50,83::\n")
    expected = np.array(Image.open(root / "masks" / "train" / "a.png"))
    assert set(np.unique(expected)) == {0, 1}
    colours = np.array([(0, 0, 0), (250, 50, 83)], np.uint8)[expected]
    Image.fromarray(colours).save(root / "masks" / "train" / "a.png")
    source = Folder(root, root / "labelmap.txt")
    assert source.labels.names == ("ground", "crack") and source.labels.palette[1] == (250, 50, 83)
    np.testing.assert_array_equal(source.split("train")[0].mask, expected)


def test_a_small_folder_has_an_image_to_validate_on(tmp_path):
    root = write_pairs(tmp_path, [f"shot {i}" for i in range(3)], ".png")
    source = Folder(root, root / "classes.txt", val_share=1e-6)
    assert len(source.split("val")) == 1 and len(source.split("train")) == 2


def test_a_root_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere' is not a folder: give the one that holds images and masks"):
        Folder(tmp_path / "nowhere", tmp_path / "classes.txt")

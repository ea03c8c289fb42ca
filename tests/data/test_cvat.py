"""CVAT's export "Segmentation mask 1.1", as it is unpacked."""

import numpy as np
import pytest

from deeplab_lit.data.folder import Folder
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError
from tests.data.exports import CLASSES, COLOURS, blocks, write_cvat

MASKS = {id: blocks(number) for number, id in enumerate(["a", "b 1", "day 2/c", "d", "e"])}
ENDINGS = (".png", ".jpg", ".jpeg")


@pytest.mark.parametrize("layout", ["voc", "folder"])
def test_its_masks_are_those_that_were_drawn(tmp_path, layout):
    root = write_cvat(tmp_path, MASKS, ENDINGS)
    if layout == "voc":
        source = VOC(root, "default", "default", root / "labelmap.txt")
        split = source.split("train")
        read = {split.ids[i]: split[i].mask for i in range(len(split))}
    else:
        source = Folder(root, root / "labelmap.txt", "JPEGImages", "SegmentationClass")
        splits = [source.split(name) for name in ("train", "val")]
        read = {split.ids[i]: split[i].mask for split in splits for i in range(len(split))}
    assert source.labels.names == CLASSES and source.labels.palette == COLOURS
    assert set(read) == set(MASKS)
    for id, mask in MASKS.items():
        np.testing.assert_array_equal(read[id], mask)


def test_images_without_shapes_have_no_mask_and_may_be_left_out(tmp_path):
    root = write_cvat(tmp_path, MASKS, ENDINGS, unannotated=["f", "g"])
    given = {"root": root, "classes": root / "labelmap.txt", "images": "JPEGImages", "masks": "SegmentationClass"}
    with pytest.raises(UserError, match=r"SegmentationClass/[fg]\.png.* not exist: .*data\.missing_masks=leave_out"):
        [Folder(**given).split(name) for name in ("train", "val")]
    source = Folder(**given, missing_masks="leave_out")
    assert sorted(source.split("train").ids + source.split("val").ids) == sorted(MASKS)
    (root / "all.txt").write_text("a\nf\n")
    (root / "one.txt").write_text("d\n")
    source = Folder(**given, missing_masks="leave_out", train="all", val="one")
    assert source.split("train").ids == ["a"] and source.split("val").ids == ["d"]
    with pytest.raises(UserError, match=r"data\.missing_masks='skip': choose refuse or leave_out"):
        Folder(**given, missing_masks="skip")
    for file in (root / "SegmentationClass").rglob("*.png"):
        file.unlink()
    with pytest.raises(UserError, match="holds no mask for an image of train"):
        Folder(**given, missing_masks="leave_out").split("train")


def test_the_class_list_may_be_named_below_the_root(tmp_path):
    root = write_cvat(tmp_path / "cvat", MASKS)
    given = {"images": "JPEGImages", "masks": "SegmentationClass"}
    assert Folder(root, "labelmap.txt", **given).labels.names == CLASSES
    assert VOC(root, "default", "default", "labelmap.txt").labels.names == CLASSES
    with pytest.raises(UserError, match=r"class list labels\.txt does not exist"):
        Folder(root, "labels.txt", **given)

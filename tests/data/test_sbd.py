"""VOC's training set with SBD."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.sbd import VOCAug, trainaug
from deeplab_lit.utils.errors import UserError


def test_trainaug_is_a_sum_less_val():
    voc_train, voc_val = [f"t{i}" for i in range(6)], [f"v{i}" for i in range(5)]
    # SBD's own split runs across VOC's: its train holds images of VOC's val
    ids = trainaug(["t0", "v0", "s1"], ["s2", "v1", "t1"], voc_train, voc_val)
    assert ids == sorted([*voc_train, "s1", "s2"]) and not set(ids) & set(voc_val)


def test_sbd_masks_are_converted_once_and_join_vocs(voc_and_sbd):
    folder, masks = voc_and_sbd
    seen = []
    source = VOCAug(folder, folder / "sbd", folder / "png")
    source.prepare(lambda what, done, total: seen.append((what, done, total)))
    assert seen[-1][1:] == (2, 2) and "SBD" in seen[0][0]
    train, val = source.split("train"), source.split("val")
    assert train.ids == ["extra_0", "extra_1", "picture_0", "picture_1"] and val.ids == ["picture_2"]
    for id in ("extra_0", "extra_1"):
        example = train[train.ids.index(id)]
        np.testing.assert_array_equal(example.mask, masks[id])
        assert example.image.shape == (24, 30, 3)
    # where both have a mask, VOC's is taken: it has the void rim
    own = np.array(Image.open(folder / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "picture_1.png"))
    np.testing.assert_array_equal(train[3].mask, own)
    # a second time, and after a lost file, only what is missing is made
    stamp = (folder / "png" / "extra_0.png").stat().st_mtime_ns
    (folder / "png" / "extra_1.png").unlink()
    seen.clear()
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (1, 1) and (folder / "png" / "extra_0.png").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a mat file", "extra_0.mat cannot be read as a .mat file"),
        ({"Other": np.zeros(3)}, "extra_0.mat has no GTcls with a Segmentation"),
        ({"GTcls": {"Segmentation": np.zeros((3, 4, 2))}}, "extra_0.mat: GTcls.Segmentation is no byte image"),
        (None, "extra_0.mat does not exist"),
    ],
)
def test_mat_files_of_another_structure(voc_and_sbd, content, words):
    from scipy.io import savemat

    folder, _ = voc_and_sbd
    file = folder / "sbd" / "cls" / "extra_0.mat"
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        savemat(file, content)
    with pytest.raises(UserError, match=words):
        VOCAug(folder, folder / "sbd", folder / "png").prepare()


def test_sbd_without_its_lists_or_voc(voc_and_sbd):
    folder, _ = voc_and_sbd
    with pytest.raises(UserError, match="data.root='.*nowhere' is not a folder"):
        VOCAug(folder / "nowhere", folder / "sbd", folder / "png").prepare()
    (folder / "sbd" / "val.txt").unlink()
    with pytest.raises(UserError, match=r"val\.txt does not exist: give data\.sbd=FOLDER.*data\.download=true"):
        VOCAug(folder, folder / "sbd", folder / "png").prepare()


def test_images_to_evaluate_on_are_not_trained_on_without_sbd(voc_and_sbd):
    folder, _ = voc_and_sbd
    lists = folder / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("picture_0\npicture_1\npicture_2\n")
    assert VOCAug(folder, False).split("train").ids == ["picture_0", "picture_1"]
    (lists / "some.txt").write_text("picture_0\n")  # val itself is left out too
    assert VOCAug(folder, False, val="some").split("train").ids == ["picture_1"]
    (lists / "val.txt").write_text("picture_0\npicture_1\npicture_2\n")
    with pytest.raises(UserError, match=r"train\.txt names only images to evaluate on"):
        VOCAug(folder, False).split("train")


def test_a_train_list_names_images_of_sbd_and_voc(voc_and_sbd, tmp_path):
    folder, masks = voc_and_sbd
    (folder / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt").write_text("picture_0\n")
    (folder / "sbd" / "val.txt").write_text("extra_1\n")  # picture_1 is on no list, but has an image and a mask
    (tmp_path / "list.txt").write_text("picture_1\nextra_0\n")
    source = VOCAug(folder, folder / "sbd", folder / "png", train_list=tmp_path / "list.txt")
    source.prepare()
    train = source.split("train")
    own = folder / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "picture_1.png"
    np.testing.assert_array_equal(train[0].mask, np.array(Image.open(own)))
    np.testing.assert_array_equal(train[1].mask, masks["extra_0"])

"""Lists and masks from elsewhere, for every data set."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.coco import COCO, COCO_CLASSES
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.sbd import VOCAug
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError
from tests.conftest import write_voc
from tests.data.layouts import SQUARE, annotation, write_coco, write_pairs


def test_pseudo_labels_and_released_lists(tmp_path):
    root = write_voc(tmp_path / "voc")
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    for i, shape in enumerate([(40, 56), (48, 33)]):
        Image.fromarray(np.full(shape, i + 3, np.uint8)).save(pseudo / f"picture_{i}.png")
    (tmp_path / "mine.txt").write_text("picture_0\npicture_1\n")
    source = VOC(root, train=str(tmp_path / "mine.txt"), train_masks=pseudo)
    train = source.split("train")
    assert len(train) == 2 and (train[0].mask == 3).all() and (train[1].mask == 4).all()
    assert len(source.split("val")) == 3 and source.split("val")[0].mask.max() == 255
    # the lists of the released nets name both files
    lines = [f"/JPEGImages/picture_{i}.jpg /SegmentationClass/picture_{i}.png" for i in (2, 0)]
    (tmp_path / "released.txt").write_text("\n".join(lines))
    assert VOC(root, train=str(tmp_path / "released.txt")).split("train").ids == ["picture_2", "picture_0"]
    (pseudo / "picture_1.png").unlink()
    said = r"pseudo has no picture_1\.png, of the 2 .* mine\.txt: type data\.train_list=LIST\.txt"
    with pytest.raises(UserError, match=said.replace(".* mine", ".*mine")):
        source.split("train")
    (pseudo / "train.txt").write_text("picture_0\n")  # as the command pseudo leaves it beside its masks
    with pytest.raises(UserError, match=r"type data\.train_list=.*pseudo/train\.txt, the ids"):
        source.split("train")
    with pytest.raises(UserError, match=r"pseudo/\.\. has no masks itself, but pseudo/ in it has: type data\.train_ma"):
        VOC(root, train_masks=pseudo / "..").split("train")
    with pytest.raises(UserError, match="data.train_masks='nowhere' is not a folder"):
        VOC(root, train_masks="nowhere")


def test_every_data_set_may_train_on_masks_from_elsewhere(tmp_path, voc_and_sbd):
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    folder, _ = voc_and_sbd
    for i, id in enumerate(("extra_0", "extra_1", "picture_0", "picture_1")):
        Image.fromarray(np.full((24, 30), i, np.uint8)).save(pseudo / f"{id}.png")
    for file in (folder / "sbd" / "cls").iterdir():
        file.unlink()  # SBD's own masks are not needed then
    aug = VOCAug(folder, folder / "sbd", folder / "png", train_masks=pseudo)
    aug.prepare()
    assert [path.parent for path in aug.split("train").masks] == [pseudo] * 4
    (tmp_path / "some.txt").write_text("picture_1\nextra_0\n")
    some = VOCAug(folder, folder / "sbd", folder / "png", train_masks=pseudo, train_list=tmp_path / "some.txt")
    assert some.split("train").ids == ["picture_1", "extra_0"] and some.split("val").ids == ["picture_2"]
    (tmp_path / "some.txt").write_text("picture_2\n")  # of val
    with pytest.raises(UserError, match=r"some\.txt names 'picture_2', which is to evaluate on"):
        some.split("train")
    # without SBD, a list and masks say all
    (tmp_path / "some.txt").write_text("picture_1\n")
    alone = VOCAug(folder, train_masks=pseudo, train_list=tmp_path / "some.txt")
    alone.prepare()
    assert alone.split("train").ids == ["picture_1"] and alone.split("train").masks[0].parent == pseudo
    with pytest.raises(UserError, match=r"Without SBD, data\.sbd=false .* data\.train_list="):
        VOCAug(folder, train_masks=pseudo).split("train")
    with pytest.raises(UserError, match="data.train_list=nowhere.txt does not exist"):
        VOC(folder, train_list="nowhere.txt")
    coco = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])], ((1, 40, 50), (2, 40, 50)))
    Image.fromarray(np.full((40, 50), 7, np.uint8)).save(pseudo / "000000000002.png")
    (tmp_path / "list.txt").write_text("000000000002\n")
    source = COCO(coco, converted=tmp_path / "png", train_masks=pseudo, train_list=tmp_path / "list.txt")
    source.prepare()
    assert len(source.split("train")) == 1 and (source.split("train")[0].mask == 7).all()
    assert set(np.unique(source.split("val")[0].mask)) == {0, COCO_CLASSES.index("dog")}
    pairs = write_pairs(tmp_path / "pairs", ["train/a", "val/b"])
    (pairs / "masks" / "train" / "a.png").unlink()
    (pseudo / "train").mkdir()
    Image.fromarray(np.ones((20, 30), np.uint8)).save(pseudo / "train" / "a.png")
    source = Folder(pairs, pairs / "classes.txt", train_masks=pseudo)
    assert (source.split("train")[0].mask == 1).all() and source.split("val").ids == ["val/b"]


def test_image_tags_are_kept(tmp_path):
    root = write_voc(tmp_path / "voc")
    lists = tmp_path / "voc" / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("picture_0 4 14\npicture_1\n")
    (lists / "val.txt").write_text("picture_2\n")
    source = VOC(root)
    assert source.split("train").ids == ["picture_0", "picture_1"]
    assert source.tags("train") == {"picture_0": (4, 14), "picture_1": ()} and source.tags("val") == {}
    mine = tmp_path / "mine.txt"
    mine.write_text("picture_1 45 49 50\n/JPEGImages/picture_0.jpg /SegmentationClass/picture_0.png 7\n")
    source = VOC(root, train_list=mine)
    assert source.split("train").ids == ["picture_1", "picture_0"]
    assert source.tags("train") == {"picture_1": (45, 49, 50), "picture_0": (7,)}
    mine.write_text("picture_1 45\npicture_1 46\n")
    with pytest.raises(UserError, match=r"mine\.txt names 'picture_1' twice"):
        source.split("train")
    mine.write_text("picture_1 0 0 1 0\n")
    with pytest.raises(UserError, match=r"mine\.txt has a class twice in the line 'picture_1 0 0 1 0': .* each once"):
        source.split("train")
    # a file name may end in a number
    for folder, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (root / folder / f"picture_1.{ending}").rename(root / folder / f"picture 1.{ending}")
    mine.write_text("picture 1\npicture_0 1\n")
    assert source.split("train").ids == ["picture 1", "picture_0"]
    assert source.tags("train") == {"picture 1": (), "picture_0": (1,)}


def test_image_tags_of_other_data_sets(tmp_path, voc_and_sbd):
    folder, _ = voc_and_sbd
    aug = VOCAug(folder, folder / "sbd", folder / "png")
    before, train = aug.ids(), aug.list_file("train")
    train.write_text("\n".join(f"{line} 3" for line in train.read_text().split()))
    assert aug.ids() == before and "picture_0" in before
    mine = tmp_path / "mine.txt"
    mine.write_text("extra_0 3\npicture_0 4 5\n")
    aug = VOCAug(folder, folder / "sbd", folder / "png", train_list=mine)
    aug.prepare()
    assert len(aug.split("train")) == 2
    assert aug.tags("train") == {"extra_0": (3,), "picture_0": (4, 5)}
    pairs = write_pairs(tmp_path / "pairs", ["a", "b", "a 1"])
    (pairs / "train.txt").write_text("a 3 4\na 1\n")
    (pairs / "val.txt").write_text("b\n")
    source = Folder(pairs, pairs / "classes.txt", train="train", val="val")
    assert source.split("train").ids == ["a", "a 1"] and source.tags("train") == {"a": (3, 4), "a 1": ()}


def test_a_list_of_images_to_evaluate_on(tmp_path, voc_and_sbd):
    root = write_voc(tmp_path / "voc")
    mine = tmp_path / "mine.txt"
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("picture_0\n")
    mine.write_text("picture_2 5\n/JPEGImages/picture_1.jpg /SegmentationClass/picture_1.png\n")
    source = VOC(root, val_list=mine)
    assert source.split("val").ids == ["picture_2", "picture_1"] and source.split("train").ids == ["picture_0"]
    assert source.tags("val") == {"picture_2": (5,), "picture_1": ()}
    mine.write_text("picture_2\npicture_0\n")
    assert source.split("val").ids == ["picture_2", "picture_0"]  # to evaluate alone it is allowed
    with pytest.raises(UserError, match=r"train\.txt names 'picture_0', which is to evaluate on \(.*mine\.txt\)"):
        source.split("train")
    with pytest.raises(UserError, match="data.val_list=nowhere.txt does not exist"):
        VOC(root, val_list="nowhere.txt")
    coco = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])], ((1, 40, 50), (2, 40, 50)))
    mine.write_text("000000000002\n")
    source = COCO(coco, converted=tmp_path / "png", val_list=mine)
    source.prepare()
    assert source.split("val").ids == ["000000000002"]
    mine.write_text("000000000003\n")
    with pytest.raises(UserError, match="names '000000000003', which is none of the 2 validation images of"):
        source.split("val")


def test_a_list_of_an_editor_of_windows(tmp_path):
    root = write_voc(tmp_path / "voc")
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbfpicture_0 3\r\npicture_1\r\n")
    source = VOC(root, train_list=tmp_path / "mine.txt")
    assert source.split("train").ids == ["picture_0", "picture_1"]
    assert source.tags("train") == {"picture_0": (3,), "picture_1": ()}

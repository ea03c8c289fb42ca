import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.labels import LabelSet, voc_colour
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError
from tests.conftest import write_voc


def test_palette_pngs_are_read_as_indices(voc):
    split = VOC(voc).split("train")
    assert len(split) == 3
    example = split[0]
    assert example.id == "picture_0" and example.image.shape == (40, 56, 3) and example.mask.shape == (40, 56)
    assert example.mask.dtype == np.uint8 and example.mask.max() == 255 and (example.mask[:2] == 255).all()
    values = set(np.unique(example.mask)) - {255}
    assert values <= set(range(21)) and len(values) > 5


def test_vocs_palette():
    # https://host.robots.ox.ac.uk: background black, aeroplane, bicycle, person, tvmonitor, void
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {i: voc_colour(i) for i in known} == known


def test_class_list_file(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("sky 128 128 128\n# a comment\n\ntraffic light 0 0 255\n")
    labels = LabelSet.from_file(path)
    assert labels.names == ("sky", "traffic light") and labels.palette == ((128, 128, 128), (0, 0, 255))
    path.write_text("sky\nroad 2\n")
    assert LabelSet.from_file(path).names == ("sky", "road 2")
    assert LabelSet.from_file(path).palette == (voc_colour(0), voc_colour(1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 classes"),
        ("one\n", "1 classes"),
        ("a\nb\na\n", "'a' is named twice"),
        ("a 1 2 300\nb\n", "line 1"),
        ("a 1 2 3\nb\n", "'b' has no colour"),
    ],
)
def test_bad_class_lists(tmp_path, text, words):
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(UserError, match=words):
        LabelSet.from_file(tmp_path / "c.txt")


def test_missing_class_list(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.txt.*does not exist"):
        LabelSet.from_file(tmp_path / "nowhere.txt")


def lists(root):
    return root / "ImageSets" / "Segmentation" / "train.txt"


def broken(voc, how):
    image, mask = voc / "JPEGImages" / "picture_1.jpg", voc / "SegmentationClass" / "picture_1.png"
    if how == "no root":
        return voc / "elsewhere"
    if how == "no list":
        lists(voc).rename(lists(voc).with_name("training.txt"))
    if how == "empty list":
        lists(voc).write_text("\n")
    if how == "double":
        lists(voc).write_text("picture_0\npicture_1\npicture_0\n")
    if how == "missing image":
        image.unlink()
    if how == "missing mask":
        mask.unlink()
    if how == "truncated image":
        image.write_bytes(image.read_bytes()[:300])
    if how == "truncated mask":
        mask.write_bytes(mask.read_bytes()[:-60])
    if how == "rgb mask":
        Image.open(mask).convert("RGB").save(mask)
    if how == "other size":
        Image.open(image).resize((20, 20)).save(image)
    if how == "value":
        values = np.array(Image.open(mask))
        values[5, 5] = 21
        Image.fromarray(values).save(mask)
    return voc


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no root", "elsewhere.*is not a folder.*JPEGImages"),
        ("no list", r"train\.txt does not exist.*training, val.*Did you mean 'training'"),
        ("empty list", r"train\.txt is empty"),
        ("double", "names 'picture_0' twice"),
        ("missing image", r"picture_1.*picture_1\.jpg.*not exist"),
        ("missing mask", r"picture_1.*picture_1\.png.*not exist"),
        ("truncated image", r"picture_1\.jpg cannot be read as an image"),
        ("truncated mask", r"picture_1\.png cannot be read as a mask"),
        ("rgb mask", r"picture_1\.png is a picture of mode RGB.*class indices"),
        ("other size", r"picture_1\.jpg is 20x20 but its mask picture_1\.png is 33x48"),
        ("value", r"picture_1\.png has the value 21, but there are 21 classes.*data\.classes"),
    ],
)
def test_bad_folders_are_named_in_one_sentence(voc, how, words):
    root = broken(voc, how)
    with pytest.raises(UserError, match=words) as caught:
        split = VOC(root).split("train")
        for i in range(len(split)):
            split[i]
    assert "\n" not in str(caught.value)


def test_grey_masks_without_palette_are_indices_too(tmp_path):
    root = write_voc(tmp_path, num_classes=3)
    mask = root / "SegmentationClass" / "picture_0.png"
    values = np.array(Image.open(mask))
    Image.fromarray(values).save(mask)
    assert Image.open(mask).mode == "L"
    np.testing.assert_array_equal(VOC(root).split("val")[0].mask, values)

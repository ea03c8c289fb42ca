import cv2
import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.labels import voc_colour
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
    if how == "print mask":
        Image.open(mask).convert("LA").save(mask)
    if how == "other colour":
        picture = Image.open(mask).convert("RGB")
        picture.paste((128, 1, 2), (7, 5, 10, 6))
        picture.save(mask)
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
        ("print mask", r"picture_1\.png is a picture of mode LA.*class indices"),
        ("other colour", r"picture_1\.png has 3 pixel\(s\) of the colour \(128, 1, 2\).*\(128, 0, 0\) of 'aeroplane'"),
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


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_masks_in_vocs_colours_are_read_as_its_indices(voc, mode):
    values = {file: np.array(Image.open(file)) for file in (voc / "SegmentationClass").iterdir()}
    for file in values:
        Image.open(file).convert(mode).save(file)
    split = VOC(voc).split("train")
    for index, file in enumerate(split.masks):
        np.testing.assert_array_equal(split[index].mask, values[file])


def test_the_list_of_classes_may_be_typed(voc):
    assert VOC(voc, classes=[f"class {i}" for i in range(21)]).labels.names[20] == "class 20"
    for wrong in (7, ["a", 1], {"a": 1}):
        with pytest.raises(UserError, match=r"data\.classes=.* is no class list: .*\[background,crack\]"):
            VOC(voc, classes=wrong)


def test_a_train_list_may_name_images_that_train_does_not(voc, tmp_path):
    for number in (3, 4):
        Image.new("RGB", (30, 20)).save(voc / "JPEGImages" / f"extra_{number}.jpg")
        Image.new("L", (30, 20), number).save(voc / "SegmentationClass" / f"extra_{number}.png")
    lists(voc).write_text("picture_0\n")
    lists(voc).with_name("val.txt").write_text("picture_1\n")
    aug = tmp_path / "aug.txt"
    aug.write_text("extra_4\npicture_0\n/JPEGImages/extra_3.jpg /SegmentationClass/extra_3.png\n")
    source = VOC(voc, train_list=aug)
    train = source.split("train")
    assert train.ids == ["extra_4", "picture_0", "extra_3"] and (train[0].mask == 4).all()
    (tmp_path / "pseudo").mkdir()
    Image.new("L", (30, 20), 7).save(tmp_path / "pseudo" / "extra_3.png")
    aug.write_text("extra_3\n")
    assert (VOC(voc, train_list=aug, train_masks=tmp_path / "pseudo").split("train")[0].mask == 7).all()
    aug.write_text("picture_0\nextra_5\nextra_6\n")
    with pytest.raises(UserError, match=r"aug\.txt lists 'extra_5', but .*extra_5\.jpg and 3 more files do not exist"):
        source.split("train")
    aug.write_text("picture_0\npicture_1\n")
    with pytest.raises(UserError, match=r"aug\.txt names 'picture_1', which is to evaluate on \(.*val\.txt\)"):
        source.split("train")


def test_images_of_other_channels_have_lossless_files(tmp_path):
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / name).mkdir(parents=True)
    four = np.random.default_rng(0).integers(0, 65536, (5, 6, 4)).astype(np.uint16)
    np.save(tmp_path / "JPEGImages" / "a.npy", four)
    cv2.imwrite(str(tmp_path / "JPEGImages" / "b.png"), four[..., [2, 1, 0, 3]])
    for id in ("a", "b"):
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "SegmentationClass" / f"{id}.png")
    for name in ("train", "val"):
        (tmp_path / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("a\nb\n")
    split = VOC(tmp_path, channels=4, bits=16).split("val")
    for index in range(2):
        np.testing.assert_array_equal(split[index].image, four)
    with pytest.raises(UserError, match=r"a\.jpg and 1 more files do not exist"):
        VOC(tmp_path).split("val")

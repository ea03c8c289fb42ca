"""Cityscapes in miniature: both kinds of masks, half size, and each way in which a folder is not what it should be."""

import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.cityscapes import CITYSCAPES, Cityscapes, id_of
from deeplab_lit.data.decoded_cache import DecodedCache
from deeplab_lit.data.half_size import half_image, half_mask
from deeplab_lit.data.inspection import inspect
from deeplab_lit.utils.errors import UserError
from tests.data.layouts import write_cityscapes

KINDS = {"label_ids": "labelIds", "train_ids": "labelTrainIds"}


@pytest.fixture
def root(tmp_path):
    write_cityscapes(tmp_path / "city")
    return tmp_path / "city"


def test_the_classes_are_those_of_the_data_set(root):
    table = {"road": (7, (128, 64, 128)), "pole": (17, (153, 153, 153)), "bicycle": (33, (119, 11, 32))}
    ids = dict(Cityscapes(root).coding.values)
    for name, (label_id, colour) in table.items():
        index = CITYSCAPES.names.index(name)
        assert ids[label_id] == index and CITYSCAPES.palette[index] == colour
    assert len(CITYSCAPES) == 19 and sorted(ids) == list(range(34)) and list(ids.values()).count(255) == 15


@pytest.mark.parametrize("labels", KINDS)
def test_both_kinds_of_masks_give_the_classes(tmp_path, labels):
    masks = write_cityscapes(tmp_path, kinds=[KINDS[labels]])
    source = Cityscapes(tmp_path, labels=labels)
    assert {255, 0, 18} <= set(np.unique(list(masks.values())))
    for name, cities in (("train", ("aachen", "ulm")), ("val", ("frankfurt", "lindau"))):
        split = source.split(name)
        assert split.ids == [f"{city}_000000_{i:06}" for city in cities for i in range(2)]
        for index, id in enumerate(split.ids):
            example = split[index]
            np.testing.assert_array_equal(example.mask, masks[id])
            assert example.image.shape == (32, 64, 3)


def test_a_value_of_no_class_is_named(root):
    file = root / "gtFine/train/ulm/ulm_000000_000001_gtFine_labelIds.png"
    mask = np.array(Image.open(file))
    mask[0, :3], mask[1, 0] = 77, 34
    Image.fromarray(mask).save(file)
    split = Cityscapes(root).split("train")
    words = (
        r"ulm_000000_000001_.*has 3 pixel\(s\) of the value 77, and 1 other value\(s\), which no class has: .* 0 to 33;"
    )
    with pytest.raises(UserError, match=words):
        split[3]
    assert [each for each in inspect(Cityscapes(root)).bad if "value 77" in each]


def test_pseudo_labels_hold_train_ids(root, tmp_path):
    """The masks that predict writes, while those of val are label ids; a decoded cache holds both."""
    masks = {}
    for id in Cityscapes(root).listing("train").ids:
        masks[id] = np.random.default_rng(len(masks)).integers(0, 19, (32, 64)).astype(np.uint8)
        (tmp_path / "pseudo").mkdir(exist_ok=True)
        Image.fromarray(masks[id]).save(tmp_path / "pseudo" / f"{id}.png")
    source = Cityscapes(root, train_masks=tmp_path / "pseudo")
    own = Cityscapes(root).split("val")[0].mask
    splits = [source.split("train"), source.split("val")]
    files = {pair: split.coding for split in splits for pair in zip(split.images, split.masks, strict=True)}
    for split in splits:
        split.decoded = DecodedCache(tmp_path / "kept", 10**9, files, 19)
    for _ in range(2):
        np.testing.assert_array_equal(splits[0][1].mask, masks[splits[0].ids[1]])
        np.testing.assert_array_equal(splits[1][0].mask, own)
    assert inspect(source).bad == []


def test_the_decoded_cache_tells_kinds_of_masks_apart(tmp_path):
    """One file read as train ids and as label ids: the second reading is not given what the first has left."""
    write_cityscapes(tmp_path, kinds=["labelTrainIds"])
    train_ids = Cityscapes(tmp_path, labels="train_ids").split("train")
    label_ids = Cityscapes(tmp_path, labels="train_ids").split("train")
    label_ids.coding = Cityscapes(tmp_path).coding
    for path in train_ids.masks:
        Image.fromarray(np.full((32, 64), 7, np.uint8)).save(path)
    found = []
    for split in (train_ids, label_ids):
        files = dict.fromkeys(zip(split.images, split.masks, strict=True), split.coding)
        split.decoded = DecodedCache(tmp_path / "kept", 10**9, files, 19)
        split[0]
        found.append(split[0].mask[0, 0])
    assert found == [7, 0]


def test_lists_name_ids_or_paths(root, tmp_path):
    path = "leftImg8bit/train/aachen/aachen_000000_000001_leftImg8bit.png"
    mask = "gtFine/train/aachen/aachen_000000_000001_gtFine_labelIds.png"
    (tmp_path / "some.txt").write_text(f"ulm_000000_000000\n{path}\t{mask}\nulm_000000_000001_leftImg8bit\n")
    split = Cityscapes(root, train_list=tmp_path / "some.txt").split("train")
    assert split.ids == ["ulm_000000_000000", "aachen_000000_000001", "ulm_000000_000001"]
    assert split.images[1] == root / path and split.masks[1] == root / mask
    (tmp_path / "some.txt").write_text("ulm_000000_000009\n")
    with pytest.raises(UserError, match=r"some\.txt names 'ulm_000000_000009', which is none of the 4 training images"):
        Cityscapes(root, train_list=tmp_path / "some.txt").split("train")
    (tmp_path / "some.txt").write_text("frankfurt_000000_000001\n")
    with pytest.raises(UserError, match="which is to evaluate on"):
        Cityscapes(root, train_list=tmp_path / "some.txt").split("train")


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("berlin/berlin_000000_000019_leftImg8bit", "berlin_000000_000019"),
        ("bad-honnef_000000_012345", "bad-honnef_000000_012345"),
        ("berlin_000000_19", None),
        ("photo", None),
    ],
)
def test_ids_of_names(name, id):
    assert id_of(name) == id


def test_half_of_an_image_is_the_mean_of_squares():
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    half = half_image(image)
    assert half.shape == (3, 4, 3)
    for y in range(3):
        for x in range(4):
            mean = image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float).mean((0, 1))
            np.testing.assert_array_equal(half[y, x], np.floor(mean + 0.5))


def test_half_of_a_mask_has_the_most_frequent_label_and_invents_none():
    cases = {(3, 3, 5, 5): 3, (5, 3, 3, 9): 3, (9, 5, 255, 255): 255, (1, 2, 3, 4): 1, (255, 7, 7, 255): 255}
    squares = [np.array(square, np.uint8).reshape(2, 2) for square in cases]
    assert half_mask(np.concatenate(squares, 1)).tolist() == [list(cases.values())]
    mask = np.random.default_rng(0).integers(0, 5, (40, 60)).astype(np.uint8)
    half = half_mask(mask)
    for y in range(20):
        for x in range(30):
            square = mask[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel().tolist()
            assert square.count(half[y, x]) == max(map(square.count, square))


@pytest.mark.parametrize("labels", KINDS)
def test_half_size_is_converted_once(tmp_path, labels):
    masks = write_cityscapes(tmp_path / "city", kinds=[KINDS[labels]])
    source = Cityscapes(tmp_path / "city", labels=labels, half_size=True, converted=tmp_path / "half")
    full, seen = Cityscapes(tmp_path / "city", labels=labels), []
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (16, 16)
    for name in ("train", "val"):
        split, larger = source.split(name), full.split(name)
        assert split.ids == larger.ids
        for index, id in enumerate(split.ids):
            example = split[index]
            np.testing.assert_array_equal(example.mask, half_mask(masks[id]))
            np.testing.assert_array_equal(example.image, half_image(larger[index].image))
    # what is lost is made again, and nothing else
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "half").rglob("*.png")}
    lost = tmp_path / "half/gtFine/val/lindau/lindau_000000_000000_gtFine_labelTrainIds.png"
    lost.unlink()
    seen.clear()
    source.prepare(lambda *about: seen.append(about))
    assert seen[-1][1:] == (1, 1)
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items() if file != lost)
    # the folder is in the published layout itself
    again = Cityscapes(tmp_path / "half", labels="train_ids").split("val")
    np.testing.assert_array_equal(again[0].mask, source.split("val")[0].mask)


def test_half_size_takes_only_what_is_used(root, tmp_path):
    (tmp_path / "some.txt").write_text("ulm_000000_000000\n")
    (tmp_path / "few.txt").write_text("lindau_000000_000001\n")
    (tmp_path / "pseudo").mkdir()
    Image.fromarray(np.full((16, 32), 18, np.uint8)).save(tmp_path / "pseudo" / "ulm_000000_000000.png")
    lists = {"train_list": tmp_path / "some.txt", "val_list": tmp_path / "few.txt"}
    shutil.rmtree(root / "gtFine" / "train")
    source = Cityscapes(root, half_size=True, converted=tmp_path / "half", train_masks=tmp_path / "pseudo", **lists)
    source.prepare()
    assert sorted(file.name for file in (tmp_path / "half").rglob("*.png")) == [
        "lindau_000000_000001_gtFine_labelTrainIds.png",
        "lindau_000000_000001_leftImg8bit.png",
        "ulm_000000_000000_leftImg8bit.png",
    ]
    assert (source.split("train")[0].mask == 18).all()


def test_two_roots_have_two_caches(tmp_path):
    images = []
    for seed in range(2):
        write_cityscapes(tmp_path / str(seed), seed=seed)
        source = Cityscapes(tmp_path / str(seed), half_size=True)
        source.prepare()
        images.append(source.split("train")[0].image)
    assert not np.array_equal(*images)


def test_half_size_names_what_it_cannot_read(root, tmp_path):
    lost = root / "gtFine/val/lindau/lindau_000000_000000_gtFine_labelIds.png"
    broken = root / "leftImg8bit/train/ulm/ulm_000000_000000_leftImg8bit.png"
    broken.write_bytes(broken.read_bytes()[:200])
    source = Cityscapes(root, half_size=True, converted=tmp_path / "half")
    with pytest.raises(UserError, match=r"city/.*ulm_000000_000000_leftImg8bit\.png cannot be read as an image"):
        source.prepare()
    lost.unlink()
    with pytest.raises(UserError, match=r"lists 'lindau_000000_000000', but .*city/gtFine.*_labelIds\.png does not"):
        source.prepare()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be made for the files at half size .*data\.converted=FOLDER"):
        Cityscapes(root, half_size=True, converted=tmp_path / "file" / "x").prepare()


def without_masks(root):
    shutil.rmtree(root / "gtFine")


def archives_in_folders_of_their_own(root):
    for name in ("leftImg8bit", "gtFine"):
        (root / f"{name}_trainvaltest").mkdir()
        (root / name).rename(root / f"{name}_trainvaltest" / name)


def without_images(root):
    shutil.rmtree(root / "leftImg8bit")


def without_cities(root):
    shutil.rmtree(root / "leftImg8bit" / "train" / "ulm")
    shutil.rmtree(root / "leftImg8bit" / "train" / "aachen")


def nothing(root):
    pass


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (nothing, {"labels": "train_ids"}, r"train holds no CITY/\*_gtFine_labelTrainIds\.png: type data\.labels="
         r"label_ids for the labelIds that are there, or make them with createTrainIdLabelImgs"),
        (without_masks, {}, r"gtFine/train does not exist: extract gtFine_trainvaltest\.zip into .*city; "),
        (without_images, {}, r"city holds no leftImg8bit: .*are in leftImg8bit_trainvaltest\.zip .*registration"),
        (without_cities, {}, r"train holds no CITY/CITY_SEQ_FRAME_leftImg8bit\.png: extract leftImg8bit_trainvaltest"),
        (archives_in_folders_of_their_own, {}, r"city has leftImg8bit in leftImg8bit_trainvaltest: "),
        (nothing, {"root": "gtFine"}, r"is gtFine itself: .*, here .*city\.$"),
        (nothing, {"root": "leftImg8bit"}, r"is leftImg8bit itself"),
        (nothing, {"root": "nowhere"}, r"nowhere' is not a folder: data\.root is the folder that holds leftImg8bit"),
        (nothing, {"root": None}, r"data\.root is missing: type data\.root=FOLDER.*roots\.cityscapes"),
        (nothing, {"labels": "ids"}, r"data\.labels='ids': choose label_ids or train_ids"),
        (nothing, {"train": "trian"}, r"trian does not exist: choose data\.train= one of test, train, val"),
        (nothing, {"train": "test"}, r"data\.train=test: the true masks of test are not .*data\.train_masks"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_archive(root, change, arguments, words):
    change(root)
    given = arguments.get("root", "")
    arguments = {**arguments, "root": None if given is None else root / given}
    with pytest.raises(UserError, match=words) as caught:
        Cityscapes(**arguments).split("train")
    assert "\n" not in str(caught.value)


def test_masks_of_label_ids_that_are_not_there(tmp_path):
    write_cityscapes(tmp_path, kinds=["labelTrainIds"])
    with pytest.raises(UserError, match=r"_labelIds\.png: type data\.labels=train_ids for the .* or extract gtFine_"):
        Cityscapes(tmp_path).split("train")
    with pytest.raises(UserError, match=r"data\.val=test: .*choose train or val\. `predict format=cityscapes_server`"):
        Cityscapes(tmp_path, val="test", labels="train_ids").split("val")

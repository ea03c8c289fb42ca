"""COCO's annotations as masks."""

import hashlib
import json

import numpy as np
import pytest

from deeplab_lit.data.coco import COCO, COCO_CLASSES, COCO_IDS
from deeplab_lit.data.coco_masks import draw
from deeplab_lit.data.labels import VOC_CLASSES
from deeplab_lit.utils.errors import UserError
from tests.data.exports import CLASSES, blocks, write_coco_export
from tests.data.layouts import SQUARE, annotation, write_coco


def coco_masks(root, tmp_path, **arguments):
    source = COCO(root, converted=tmp_path / "png", **arguments)
    source.prepare()
    return source, [example.mask for example in source.split("train")]


def test_the_80_classes_and_the_91_ids():
    assert len(COCO_CLASSES) == 81 and len(COCO_IDS) == 91
    # https://cocodataset.org: person is 1, stop sign 13, toothbrush 90, and 80 categories in all
    assert [COCO_IDS[i] for i in (1, 13, 44, 62, 67, 72, 90)] == [
        "person", "stop sign", "bottle", "chair", "dining table", "tv", "toothbrush",
    ]  # fmt: skip


def test_polygons_codes_crowds_and_overlaps(tmp_path):
    from pycocotools import mask as coco_mask

    crowd = np.zeros((40, 50), np.uint8)
    crowd[:, :20] = 1
    # COCO's own uncompressed code counts down the columns
    counts, value, run = [], 0, 0
    for pixel in crowd.T.ravel().tolist():
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    counts.append(run)
    small = [15, 10, 20, 10, 20, 15, 15, 15]
    root = write_coco(
        tmp_path / "coco",
        [
            annotation(1, [small], category=1),  # a small person in front of
            annotation(2, [SQUARE], category=18),  # a dog
            annotation(3, {"size": [40, 50], "counts": counts}, category=1, crowd=1),
        ],
    )
    source, (mask,) = coco_masks(root, tmp_path)
    assert mask[12, 17] == 1 and mask[20, 25] == source.labels.names.index("dog") and mask[35, 40] == 0
    assert mask[35, 5] == 255 and mask[20, 12] == source.labels.names.index("dog")
    # the areas of pycocotools, drawn apart
    code = coco_mask.merge(coco_mask.frPyObjects([SQUARE], 40, 50))
    assert ((mask == 1) | (mask == source.labels.names.index("dog"))).sum() == coco_mask.area(code)
    _, (by_id,) = coco_masks(root, tmp_path, classes="coco91")
    assert set(np.unique(by_id)) == {0, 1, 18, 255}
    voc, (mapped,) = coco_masks(root, tmp_path, classes="voc")
    assert voc.labels.names == VOC_CLASSES
    assert set(np.unique(mapped)) == {0, VOC_CLASSES.index("person"), VOC_CLASSES.index("dog"), 255}


def test_coco_in_vocs_classes_leaves_out_images_with_few_labelled_pixels(tmp_path):
    images = ((1, 40, 50), (2, 40, 50), (3, 40, 50))
    annotations = [
        annotation(1, [SQUARE], image=1, category=72),  # tv
        annotation(2, [[1, 1, 4, 1, 4, 4]], image=2, category=67),  # dining table
        annotation(3, [SQUARE], image=3, category=25),  # giraffe, which VOC does not have
    ]
    root = write_coco(tmp_path / "coco", annotations, images)
    source = COCO(root, classes="voc", min_pixels=100, converted=tmp_path / "png")
    source.prepare()
    assert source.split("train").ids == ["000000000001"] and len(source.split("val")) == 3
    assert source.split("train")[0].mask.max() == VOC_CLASSES.index("tvmonitor")
    assert set(np.unique(source.split("val")[2].mask)) == {0}
    with pytest.raises(UserError, match="has data.min_pixels=100000 labelled pixels: lower it"):
        COCO(root, classes="voc", min_pixels=100000, converted=tmp_path / "png").split("train")


def test_classes_of_the_users_own_annotation_file_and_a_list(tmp_path):
    categories = [{"id": 7, "name": "weed"}, {"id": 3, "name": "crop"}]
    images = ((1, 40, 50), (2, 40, 50))
    annotations = [annotation(1, [SQUARE], category=7), annotation(2, [SQUARE], image=2, category=3)]
    root = write_coco(tmp_path / "mine", annotations, images, categories)
    source, masks = coco_masks(root, tmp_path, classes="file")
    assert source.labels.names == ("background", "crop", "weed")
    assert [mask.max() for mask in masks] == [2, 1]
    (tmp_path / "list.txt").write_text("000000000002\n")
    source, masks = coco_masks(root, tmp_path, classes="file", train_list=tmp_path / "list.txt")
    assert source.split("train").ids == ["000000000002"]
    (tmp_path / "list.txt").write_text("000000000003\n")
    with pytest.raises(UserError, match=r"list\.txt names '000000000003'.*Did you mean '000000000002'"):
        source.split("train")


def test_a_changed_annotation_file_is_drawn_anew_and_a_cut_mask_again(tmp_path):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])])
    source, _ = coco_masks(root, tmp_path)
    (file,) = source.split("train").masks
    index = file.parent / "index.json"
    whole = file.read_bytes()
    # as a crash of the machine leaves it: the index not written yet, a mask cut short
    index.unlink()
    file.write_bytes(whole[: len(whole) // 2])
    COCO(root, converted=tmp_path / "png").prepare()
    assert file.read_bytes() == whole and index.is_file()
    for name in ("train2017", "val2017"):
        path = root / "annotations" / f"instances_{name}.json"
        path.write_text(path.read_text().replace('"category_id": 18', '"category_id": 17'))
    _, (mask,) = coco_masks(root, tmp_path)
    assert mask.max() == COCO_CLASSES.index("cat")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (annotation(5, [SQUARE], category=12), r"annotation 5 has the category id 12, which the file's categories"),
        (annotation(5, [SQUARE], image=9), "annotation 5 belongs to image 9, which the file does not list"),
        (
            annotation(5, [[10, 5, 70, 5, 70, 25]]),
            r"000000000001\.jpg: annotation 5 has a polygon that leaves its image",
        ),
        (annotation(5, [[10, 5, 30, 5]]), "annotation 5 has a polygon without three points"),
        (annotation(5, []), "annotation 5 has no segmentation"),
        (annotation(5, {"size": [50, 40], "counts": [2000]}), r"of size \[50, 40\], its image \[40, 50\]"),
        (annotation(5, {"size": [40, 50], "counts": [7]}), "does not fill its image"),
        (annotation(5, [[10, 5, float("nan"), 5, 30, 25]]), "coordinates that are no numbers"),
    ],
)
def test_bad_annotations_are_named(tmp_path, broken, words):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE]), broken])
    with pytest.raises(UserError, match=words) as caught:
        COCO(root, converted=tmp_path / "png").prepare()
    assert "instances_train2017.json" in str(caught.value) and "\n" not in str(caught.value)


def test_polygons_may_be_cut_at_the_border(tmp_path):
    mask = draw([(3, annotation(1, [[30, 10, 90, 10, 90, 30, 30, 30]]))], 40, 50, clip=True)
    assert mask[20, 49] == 3 and mask[20, 20] == 0 and (mask == 3).sum() == 20 * 20


def test_other_bad_coco_folders(tmp_path):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])])
    with pytest.raises(UserError, match=r"instances_train2014\.json does not exist.*such as train2017"):
        COCO(root, train="train2014")
    with pytest.raises(UserError, match="data.classes='voc12': choose one of coco, coco91, voc, file"):
        COCO(root, classes="voc12")
    (root / "train2017" / "000000000001.jpg").unlink()
    source = COCO(root, converted=tmp_path / "png")
    source.prepare()
    with pytest.raises(UserError, match=r"000000000001\.jpg does not exist"):
        source.split("train")
    path = root / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(UserError, match="cannot be read as JSON"):
        COCO(root, converted=tmp_path / "png2").prepare()
    path.write_text("[]")
    with pytest.raises(UserError, match="has no list 'images'"):
        COCO(root, converted=tmp_path / "png2").prepare()


def coco_2014(root):
    """The layout of COCO 2014, whose files are named after their split; a crowd covers the left of the first image."""
    crowd = {"size": [40, 50], "counts": [0, 40 * 20, 40 * 30]}
    annotations = [annotation(1, [SQUARE], 9, category=18), annotation(2, crowd, 9, category=1, crowd=1)]
    write_coco(root, annotations, ((9, 40, 50), (25, 40, 50)))
    for name in ("train", "val"):
        (root / f"{name}2017").rename(root / f"{name}2014")
        for file in list((root / f"{name}2014").iterdir()):
            file.rename(file.with_name(f"COCO_{name}2014_{file.name}"))
        path = root / "annotations" / f"instances_{name}2017.json"
        text = path.read_text().replace('"file_name": "', f'"file_name": "COCO_{name}2014_')
        path.with_name(f"instances_{name}2014.json").write_text(text)
        path.unlink()
    return root


def test_coco_2014_and_the_lists_of_weak_supervision(tmp_path):
    root = coco_2014(tmp_path / "coco")
    years = {"train": "train2014", "val": "val2014"}
    source, masks = coco_masks(root, tmp_path, **years)
    assert source.split("train").ids == ["COCO_train2014_000000000009", "COCO_train2014_000000000025"]
    assert len(source.labels) == 81 and masks[0].max() == 255 and (masks[1] == 0).all()
    (tmp_path / "train.txt").write_text("COCO_train2014_000000000025\nCOCO_train2014_000000000009 0 16\n")
    (tmp_path / "val.txt").write_text("COCO_val2014_000000000009\n")
    lists = {"train_list": tmp_path / "train.txt", "val_list": tmp_path / "val.txt"}
    source, masks = coco_masks(root, tmp_path, **years, **lists)
    assert source.split("train").ids == ["COCO_train2014_000000000025", "COCO_train2014_000000000009"]
    assert source.split("val").ids == ["COCO_val2014_000000000009"]
    assert source.tags("train") == {"COCO_train2014_000000000025": (), "COCO_train2014_000000000009": (0, 16)}


def test_crowds_as_void_or_as_their_class(tmp_path):
    root = coco_2014(tmp_path / "coco")
    years = {"train": "train2014", "val": "val2014"}
    _, (void, _) = coco_masks(root, tmp_path, **years)
    source, (drawn, _) = coco_masks(root, tmp_path, **years, crowds="class")
    dog, person = (source.labels.names.index(name) for name in ("dog", "person"))
    assert (void[:, :10] == 255).all() and (drawn[:, :10] == person).all()
    # objects are in front of crowds in both
    assert (void[10:20, 12:28] == dog).all() and (drawn[10:20, 12:28] == dog).all()
    np.testing.assert_array_equal(drawn[void != 255], void[void != 255])
    with pytest.raises(UserError, match="data.crowds='classes': choose void or class. Did you mean 'class'"):
        COCO(root, **years, crowds="classes")


def test_masks_drawn_by_earlier_versions_stay(tmp_path):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])])
    source = COCO(root, converted=tmp_path / "png")
    with (root / "annotations" / "instances_train2017.json").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps([1, "coco", False, COCO_CLASSES]).encode())
    assert source._folder("train").name == f"instances_train2017-coco-{digest.hexdigest()[:12]}"


def test_the_json_of_another_tool_is_named(tmp_path):
    root = write_coco(tmp_path / "coco", [annotation(1, [SQUARE])])
    (root / "annotations" / "instances_train2017.json").write_text('{"shapes": [], "imagePath": "a.jpg"}')
    with pytest.raises(UserError, match=r"has no list 'images': .*; it is labelme's JSON of one image: .*data\.masks="):
        COCO(root, converted=tmp_path / "png").prepare()


def test_its_masks_are_those_that_were_drawn(tmp_path):
    masks = {id: blocks(number) for number, id in enumerate("abc")}
    root = write_coco_export(tmp_path / "mine", masks)
    source, found = coco_masks(root, tmp_path, train="train", val="val", classes="file")
    assert source.labels.names == CLASSES
    for id, mask in zip(source.split("train").ids, found, strict=True):
        np.testing.assert_array_equal(mask, masks[id])

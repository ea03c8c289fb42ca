"""Data sets in miniature, written in the layouts that users have."""

import json

import numpy as np
from PIL import Image

from deeplab_lit.data.coco import COCO_IDS

SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


def annotation(number, polygon_or_code, image=1, category=18, crowd=0):
    return {
        "id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": polygon_or_code,
        "area": 1, "bbox": [0, 0, 1, 1],
    }  # fmt: skip


def write_coco(root, annotations, images=((1, 40, 50),), categories=None):
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    content = {
        "images": [{"id": i, "file_name": f"{i:012}.jpg", "height": h, "width": w} for i, h, w in images],
        "annotations": annotations,
        "categories": categories or [{"id": i, "name": name} for i, name in enumerate(COCO_IDS) if name != "-" and i],
    }
    for name in ("train2017", "val2017"):
        (root / name).mkdir()
        for i, height, width in images:
            picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
            picture.save(root / name / f"{i:012}.jpg")
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root


def write_pairs(root, names, suffix=".jpg"):
    rng = np.random.default_rng(0)
    for name in names:
        for folder, end in (("images", suffix), ("masks", ".png")):
            (root / folder / f"{name}{end}").parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(root / "images" / f"{name}{suffix}")
        Image.fromarray(rng.integers(0, 2, (20, 30), np.uint8)).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("ground\ncrack\n")
    return root


def write_sbd(root, ids, train, seed=1):
    """SBD's layout with random masks; the first ``train`` ids stand in train.txt."""
    from scipy.io import savemat

    rng = np.random.default_rng(seed)
    (root / "cls").mkdir(parents=True)
    (root / "img").mkdir()
    masks = {}
    for id in ids:
        masks[id] = rng.integers(0, 21, (24, 30)).astype(np.uint8)
        fields = {"Boundaries": np.zeros((20, 1)), "Segmentation": masks[id], "CategoriesPresent": np.zeros((1, 1))}
        savemat(root / "cls" / f"{id}.mat", {"GTcls": fields})
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), np.uint8)).save(root / "img" / f"{id}.jpg")
    (root / "train.txt").write_text("\n".join(ids[:train]) + "\n")
    (root / "val.txt").write_text("\n".join(ids[train:]) + "\n")
    return masks


def write_voc2010(root, sizes, train):
    """VOC 2010's images of the given (height, width) and its own lists; the first ``train`` images are to train on."""
    rng = np.random.default_rng(2)
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    ids = [f"2008_{number:06}" for number in range(len(sizes))]
    for id, (height, width) in zip(ids, sizes, strict=True):
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        picture.save(root / "JPEGImages" / f"{id}.jpg")
    for name, some in (("train", ids[:train]), ("val", ids[train:])):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(some) + "\n")
    return ids


def part_annotation(objects):
    """PASCAL-Part's anno: (class, class_ind, mask, [(part_name, mask), ...]) of each object."""
    entries = np.empty((1, len(objects)), [("class", "O"), ("class_ind", "O"), ("mask", "O"), ("parts", "O")])
    for number, (name, index, mask, parts) in enumerate(objects):
        listed = np.zeros((0, 0))  # what MATLAB writes for an object without parts
        if parts:
            listed = np.empty((1, len(parts)), [("part_name", "O"), ("mask", "O")])
            listed[0] = [(part, pixels) for part, pixels in parts]
        entries[0, number] = (name, np.uint8(index), mask, listed)
    return {"anno": {"imname": "2008_000000", "objects": entries}}

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


CITIES = {"train": ("aachen", "ulm"), "val": ("frankfurt", "lindau"), "test": ("berlin", "bonn")}


def write_cityscapes(root, size=(32, 64), kinds=("labelIds",), each=2, seed=0):
    """Cityscapes' layout in miniature: two cities a split, ``each`` images a city, no masks of test.

    Returns the masks as train ids, by id. Ignored label ids and the train id 255 are among the values.
    """
    from deeplab_lit.data.cityscapes import LABEL_IDS

    rng, masks = np.random.default_rng(seed), {}
    to_label_id = np.zeros(256, np.uint8)
    to_label_id[: len(LABEL_IDS)] = LABEL_IDS
    for split, cities in CITIES.items():
        for city in cities:
            for number in range(each):
                id = f"{city}_000000_{number:06}"
                image = root / "leftImg8bit" / split / city / f"{id}_leftImg8bit.png"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(image)
                if split == "test":
                    continue
                mask = rng.integers(0, 20, (size[0] // 8, size[1] // 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
                mask[mask == 19] = 255
                masks[id] = mask
                label_ids = to_label_id[mask]
                ignored = np.array([0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30], np.uint8)
                label_ids[mask == 255] = rng.choice(ignored, int((mask == 255).sum()))
                written = {"labelIds": label_ids, "labelTrainIds": mask}
                for kind in kinds:
                    file = root / "gtFine" / split / city / f"{id}_gtFine_{kind}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(written[kind]).save(file)
    return masks

"""Masks that are made once: by two processes at once, or by one that is killed half-way, never torn."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from deeplab_lit.data.cityscapes import LABEL_IDS, Cityscapes
from deeplab_lit.data.coco import COCO
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.person_part import PersonPart
from deeplab_lit.data.sbd import VOCAug
from tests.conftest import write_voc
from tests.data.exports import CLASSES, blocks, write_label_studio, write_labelme
from tests.data.layouts import part_annotation, write_cityscapes, write_sbd, write_voc2010

COUNT = 150


def sbd(root):
    write_voc(root / "VOC")
    lists = root / "VOC" / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("picture_0\n")
    (lists / "val.txt").write_text("picture_2\n")
    masks = write_sbd(root / "sbd", [f"extra_{i}" for i in range(COUNT)], train=COUNT - 1)
    return f"VOCAug({str(root / 'VOC')!r}, {str(root / 'sbd')!r}, {str(root / 'made')!r})", masks


def coco(root):
    """Each image is one rectangle, whose mask is known without drawing it."""
    (root / "coco" / "annotations").mkdir(parents=True)
    rng, masks, images, annotations = np.random.default_rng(0), {}, [], []
    for number in range(COUNT):
        top, left = (int(each) for each in rng.integers(0, 20, 2))
        bottom, right = top + int(rng.integers(1, 20)), left + int(rng.integers(1, 20))
        mask = np.zeros((40, 50), np.uint8)
        mask[top:bottom, left:right] = 1
        masks[f"{number:012d}"] = mask
        images.append({"id": number, "file_name": f"{number:012d}.jpg", "height": 40, "width": 50})
        corners = [left, top, right, top, right, bottom, left, bottom]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "segmentation": [corners]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    for name in ("train2017", "val2017"):
        (root / "coco" / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return f"COCO({str(root / 'coco')!r}, converted={str(root / 'made')!r})", masks


def parts(root):
    """Every third image has no person; the mask of another one is a torso of known size."""
    ids = write_voc2010(root / "VOC2010", [(24, 30)] * COUNT, train=COUNT - 2)
    (root / "VOC2010" / "Annotations_Part").mkdir()
    masks = {}
    for number, id in enumerate(ids):
        mask = np.zeros((24, 30), bool)
        mask[: 1 + number % 24] = True
        persons = [("person", 15, mask, [("torso", mask)])] if number % 3 else []
        savemat(root / "VOC2010" / "Annotations_Part" / f"{id}.mat", part_annotation([*persons, ("cat", 8, mask, [])]))
        if persons:
            masks[id] = 2 * mask.astype(np.uint8)
    return f"PersonPart({str(root / 'VOC2010')!r}, converted={str(root / 'made')!r})", masks


def cityscapes(root):
    """Masks at half size; each square of four pixels of the larger ones has one label."""
    write_cityscapes(root / "city", each=COUNT // 2)
    masks = {}
    for file in sorted((root / "city" / "gtFine").rglob("*.png")):
        value = len(masks) % 20
        small = np.full((16, 32), 255 if value == 19 else value, np.uint8)
        Image.fromarray(np.full((32, 64), [*LABEL_IDS, 0][value], np.uint8)).save(file)
        masks[file.stem.replace("labelIds", "labelTrainIds")] = small
    return f"Cityscapes({str(root / 'city')!r}, half_size=True, converted={str(root / 'made')!r})", masks


def folder(root, write, masks_in):
    masks = {f"{number:03d}": blocks(number) for number in range(COUNT)}
    write(root / "mine", masks)
    (root / "all.txt").write_text("\n".join(masks) + "\n")
    both, images = {"train": str(root / "all.txt"), "val": str(root / "all.txt")}, "." if masks_in == "." else "images"
    given = {"classes": list(CLASSES), "images": images, "masks": masks_in, "converted": str(root / "made"), **both}
    return f"Folder({str(root / 'mine')!r}, **{given!r})", masks


def labelme(root):
    return folder(root, write_labelme, ".")


def label_studio(root):
    return folder(root, write_label_studio, "export.json")


SCRIPT = """
from deeplab_lit.data.cityscapes import Cityscapes
from deeplab_lit.data.coco import COCO
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.person_part import PersonPart
from deeplab_lit.data.sbd import VOCAug
if __name__ == "__main__":
    {source}.prepare()
"""


def begin(script):
    """In a process group of its own, so that its workers can be killed with it."""
    return subprocess.Popen([sys.executable, script], start_new_session=True, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("make", [sbd, coco, parts, cityscapes, labelme, label_studio])
def test_masks_are_whole_whoever_is_killed(tmp_path, monkeypatch, make):
    source, masks = make(tmp_path)
    script = tmp_path / "make.py"
    script.write_text(SCRIPT.format(source=source))
    for moment in (0.0, 0.02):
        process = begin(script)
        while not list((tmp_path / "made").rglob("*.png")) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was done before"
        for file in (tmp_path / "made").rglob("*.png"):
            if not file.name.startswith("."):
                found = np.array(Image.open(file))  # images at half size are whole too
                # the names of labelme's end with a stamp
                np.testing.assert_array_equal(found, masks.get(file.stem, masks.get(file.stem.split("-")[0], found)))
    both = [begin(script) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    known = {"VOCAug": VOCAug, "COCO": COCO, "PersonPart": PersonPart, "Cityscapes": Cityscapes, "Folder": Folder}
    # with nothing left to write, a folder that cannot be written to does; its lock would be the first file
    monkeypatch.setattr("deeplab_lit.data.mask_conversion.one_at_a_time", lambda folder: pytest.fail("a lock"))
    eval(source, known).prepare()
    split = eval(source, known).listing("train")
    assert len(split) >= (len(masks) - 2 if make is parts else COUNT)
    for id, path in zip(split.ids, split.masks, strict=True):
        if (key := id if id in masks else path.stem) in masks:
            np.testing.assert_array_equal(np.array(Image.open(path)), masks[key])

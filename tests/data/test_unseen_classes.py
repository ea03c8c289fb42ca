"""Classes that no training mask holds."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.coco import coco91
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.mask_files import coloured
from deeplab_lit.data.split import Split
from deeplab_lit.data.unseen_classes import unseen, unseen_classes
from deeplab_lit.utils.errors import UserError

LABELS = LabelSet(("ground", "crack", "leaf"))


def split_of(folder, masks):
    files = []
    for number, values in enumerate(masks):
        files.append(folder / f"{number}.png")
        Image.fromarray(np.array([values], np.uint8)).save(files[-1])
    return Split([file.stem for file in files], files, files, len(LABELS))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([[0, 1], [0, 2]], None),
        ([[0, 1], [0, 255]], "the 2 training masks do not hold the class(es) 'leaf',"),
        ([[1, 1]], "the 1 training masks do not hold the class(es) 'ground', 'leaf',"),
        ([[0, 0], [0, 255]], "the 2 training masks hold only the values 0 and 255, and 255 is void"),
    ],
)
def test_the_sentence(tmp_path, masks, words):
    sentence = unseen_classes(split_of(tmp_path, masks), LABELS)
    assert sentence is None if words is None else words in sentence


def test_masks_of_void_alone_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"the 2 training masks hold void \(255\) alone, such as .*0\.png"):
        unseen_classes(split_of(tmp_path, [[255, 255], [255]]), LABELS)


def test_masks_are_read_until_each_class_has_been_seen(tmp_path, monkeypatch):
    split = split_of(tmp_path, [[0, 1, 2]] * 3)
    split.masks *= 400
    split.ids *= 400
    read = []

    def counted(path, coding):
        read.append(path)
        return np.array([[0, 1, 2][: 3 if find else 2]], np.uint8)

    monkeypatch.setattr("deeplab_lit.data.unseen_classes.read_mask", counted)
    find = True
    assert unseen_classes(split, LABELS) is None and len(read) == 1
    find = False
    assert "200 of the 1200 training masks do not hold" in unseen_classes(split, LABELS) and len(read) == 201


def test_ids_that_coco_never_used_are_not_missed():
    counts = np.ones(256, np.int64)
    counts[[12, 26, 29]] = 0
    assert unseen(counts, coco91(), "the masks") is None
    counts[18] = 0
    assert "'dog'" in unseen(counts, coco91(), "the masks")


def test_a_palette_with_the_colours_at_other_indices_is_told_of(tmp_path):
    """As an image editor that counts colours writes it: the picture looks right, and its classes are swapped."""
    split, labels = split_of(tmp_path, [[0, 1, 2]]), LabelSet(("road", "sky"), ((128, 64, 128), (70, 130, 180)))
    split.coding = coloured(labels)
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    for palette, words in (([128, 64, 128, 70, 130, 180], None), ([70, 130, 180, 128, 64, 128], "at other indices")):
        picture.putpalette(palette)
        picture.save(split.masks[0])
        sentence = unseen_classes(split, labels)
        assert sentence is None if words is None else words in sentence

"""Scores before and after the CRF, against a computation image by image."""

import numpy as np
import pytest

from deeplab_lit.crf import DenseCRF
from deeplab_lit.data.split import Example
from deeplab_lit.data.voc import VOC
from deeplab_lit.inference.metrics import Scores
from deeplab_lit.inference.scoring import Evaluation, ImageResult, score_split
from deeplab_lit.utils.shards import Shard
from tests.conftest import write_voc
from tests.crf.test_dense import SMALL, coarse_probabilities


class Remembered:
    """In the place of a network: probabilities that its test knows."""

    def __init__(self, split):
        self.known = {split[i].image.tobytes(): coarse_probabilities(split[i].image, 21, i) for i in range(len(split))}

    def labels(self, image):
        return self.probabilities(image).argmax(0).astype(np.uint8)

    def probabilities(self, image):
        return self.known[image.tobytes()]

    def refined_whole(self, image):
        return True


@pytest.fixture
def split(tmp_path):
    sizes = ((40, 56), (48, 33), (64, 64), (30, 30), (41, 57))
    return VOC(write_voc(tmp_path / "voc", sizes)).split("val")


def pooled(split, predict):
    matrix = np.zeros((21, 21), np.int64)
    for i in range(len(split)):
        example = split[i]
        known = example.mask != 255
        np.add.at(matrix, (example.mask[known], predict(example)[known]), 1)
    return matrix


@pytest.mark.parametrize("threads", [1, 3])
def test_scores_before_and_after_are_those_of_all_pixels(split, threads):
    network, crf = Remembered(split), DenseCRF(**SMALL, threads=1)
    told = []
    found = score_split(network, split, range(len(split)), 21, crf, 10, 2, threads, lambda *each: told.append(each))
    before = pooled(split, lambda example: network.probabilities(example.image).argmax(0))
    after = pooled(split, lambda example: crf(example.image, network.probabilities(example.image)).argmax(0))
    np.testing.assert_array_equal(found.matrices[0], before)
    np.testing.assert_array_equal(found.matrices[1], after)
    assert [each.miou for each in found.scores] == [Scores.of(before).miou, Scores.of(after).miou]
    assert [id for id, _ in found.images] == list(split.ids) and told[-1] == ("evaluating", 5, 5)


def test_the_images_that_were_helped_and_hurt_most_are_kept(split):
    crf = DenseCRF(**SMALL, threads=1)
    found = score_split(Remembered(split), split, range(len(split)), 21, crf, 10, 2, 2, lambda *_: None)
    gains = sorted((after - before, id) for id, (before, after) in found.images)
    helped = [id for gain, id in reversed(gains) if gain > 0][:2]
    hurt = [id for gain, id in gains if gain < 0][:2]
    assert [each.example.id for each in found.helped] == helped
    assert [each.example.id for each in found.hurt] == hurt


def test_without_a_crf_there_is_one_stage(split):
    found = score_split(Remembered(split), split, [0, 2], 21, None, 5, 2, 2, lambda *_: None)
    assert len(found.matrices) == len(found.trimaps) == 1 and not found.helped and len(found.images) == 2


def test_an_image_without_labels_counts_nothing(split):
    class AllVoid:
        ids = ("void",)

        def __getitem__(self, index):
            example = split[0]
            return Example(example.image, np.full_like(example.mask, 255), "void")

    crf = DenseCRF(**SMALL, threads=1)
    found = score_split(Remembered(split), AllVoid(), [0], 21, crf, 5, 2, 2, lambda *_: None)
    assert found.matrices[0].sum() == 0 and np.isnan(found.images[0][1]).all() and not found.helped


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("with_crf", [True, False])
def test_the_evaluations_of_shards_together_are_that_of_the_whole(split, count, with_crf):
    """Seven shards of five images: two have none."""

    def score(shard):
        crf = DenseCRF(**SMALL, threads=1) if with_crf else None
        indices = shard.of(range(len(split)))
        return score_split(Remembered(split), split, indices, 21, crf, 10, 2, 2, lambda *_: None)

    whole = score(Shard())
    found = Evaluation.merged([score(Shard(index, count)) for index in range(1, count + 1)], 2)
    for ours, theirs in zip(found.matrices + found.trimaps, whole.matrices + whole.trimaps, strict=True):
        np.testing.assert_array_equal(getattr(ours, "rings", ours), getattr(theirs, "rings", theirs))
    assert found.images == whole.images and bool(found.helped or found.hurt) == with_crf
    for name in ("helped", "hurt"):
        for ours, theirs in zip(getattr(found, name), getattr(whole, name), strict=True):
            assert ours.example.id == theirs.example.id and ours.accuracies == theirs.accuracies
            np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_of_equal_changes_the_earlier_image_comes_first():
    def part(*ids):
        found = Evaluation.empty(2, 3, 4)
        found.images = [(id, (0.25, 0.5)) for id in ids]
        picture = np.zeros((2, 2), np.uint8)
        found.helped = [ImageResult(Example(picture, picture, id), (picture, picture), (0.25, 0.5)) for id in ids]
        return found

    found = Evaluation.merged([part("a", "c", "e"), part("b", "d")], 4)
    assert [each.example.id for each in found.helped] == list("abcd")
    assert [id for id, _ in found.images] == list("abcde")

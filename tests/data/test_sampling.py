import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from deeplab_lit.data.datamodule import TrainSet, stacked
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.sampling import EvalSampler, TrainSampler
from deeplab_lit.data.transforms import TrainTransform
from deeplab_lit.data.voc import VOC


def test_each_pass_shows_every_example_once_in_another_order():
    draws = [index for index, _ in TrainSampler(7, draws=21, seed=1)]
    passes = [draws[i : i + 7] for i in (0, 7, 14)]
    assert all(sorted(each) == list(range(7)) for each in passes) and passes[0] != passes[1]


def test_a_seed_repeats_and_another_differs():
    assert list(TrainSampler(50, 80, seed=3)) == list(TrainSampler(50, 80, seed=3))
    assert list(TrainSampler(50, 80, seed=3)) != list(TrainSampler(50, 80, seed=4))


def test_augmentation_differs_between_epochs_and_examples():
    seeds = [augmentation for _, augmentation in TrainSampler(10, 1000, seed=0)]
    assert len(set(seeds)) == 1000


@pytest.mark.parametrize("start", [0, 1, 9, 10, 37])
def test_a_resume_goes_on_where_it_stopped(start):
    whole = list(TrainSampler(10, 40, seed=0))
    assert list(TrainSampler(10, 40 - start, seed=0, start=start)) == whole[start:]


def test_processes_share_the_stream_of_one():
    one = list(TrainSampler(10, 40, seed=0))
    two = [list(TrainSampler(10, 20, seed=0, rank=rank, world=2)) for rank in (0, 1)]
    for step in range(5):  # a global batch of 8 is the union of two batches of 4
        union = two[0][4 * step : 4 * step + 4] + two[1][4 * step : 4 * step + 4]
        assert sorted(union) == sorted(one[8 * step : 8 * step + 8])


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2)])
def test_another_number_of_processes_goes_on_in_the_same_stream(before, after):
    start = before * 4
    drawn = [draw for rank in range(before) for draw in TrainSampler(10, 4, seed=0, rank=rank, world=before)]
    each = (40 - start) // after
    drawn += [draw for rank in range(after) for draw in TrainSampler(10, each, 0, start, rank, after)]
    assert sorted(drawn) == sorted(TrainSampler(10, start + each * after, seed=0))


def test_validation_examples_are_in_exactly_one_process():
    parts = [list(EvalSampler(11, rank, 3)) for rank in range(3)]
    assert sorted(sum(parts, [])) == list(range(11)) and [len(EvalSampler(11, r, 3)) for r in range(3)] == [
        4,
        4,
        3,
    ]


def batches(voc, workers, epochs=1, seed=0):
    split = VOC(voc).split("train")
    data: Dataset = TrainSet(split, TrainTransform(32, Normalization()))
    sampler = TrainSampler(len(split), 3 * 4 * epochs, seed)
    loader = DataLoader(data, 3, sampler=sampler, num_workers=workers, collate_fn=stacked)
    return [(batch["id"], batch["image"]) for batch in loader]


def test_workers_and_epochs_draw_different_augmentations_and_a_seed_repeats_them(voc):
    serial, parallel = batches(voc, 0), batches(voc, 2)
    for (ids, images), (other_ids, other_images) in zip(serial, parallel, strict=True):
        assert ids == other_ids and torch.equal(images, other_images)
    seen = {}
    for ids, images in parallel:
        for id, image in zip(ids, images, strict=True):
            seen.setdefault(id, []).append(image.numpy().tobytes())
    # the same example in four passes, through two workers: four different pictures
    assert all(len(pictures) == 4 and len(set(pictures)) == 4 for pictures in seen.values())
    assert not np.array_equal(batches(voc, 2, seed=1)[0][1], parallel[0][1])

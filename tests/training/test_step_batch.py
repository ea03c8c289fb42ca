"""The batch of a step: the same images on any number of processes."""

from dataclasses import replace

import pytest

from deeplab_lit.config.compose import typed
from deeplab_lit.training.runs import fingerprint
from deeplab_lit.training.step_batch import processes_told, share
from deeplab_lit.utils.errors import UserError
from tests.composing import compose

ROW = ["experiments=table4_resnet101/baseline", "budget=mini"]


def config(*overrides):
    return typed(compose(*overrides))


@pytest.mark.parametrize(
    ("processes", "accumulated", "each"), [(1, 1, 10), (2, 1, 5), (5, 1, 2), (1, 2, 5), (2, 5, 1), (10, 1, 1)]
)
def test_a_row_means_its_published_batch_on_any_number_of_processes(processes, accumulated, each):
    row = config(*ROW, f"trainer.accumulate_grad_batches={accumulated}")
    batch = share(row, processes)
    assert (batch.each, batch.total) == (each, 10) and row.row.batch == 10


def test_processes_that_cannot_share_it_are_refused_with_the_numbers_that_can():
    with pytest.raises(UserError, match=r"cannot be shared by 8 processes: their product is 1, 2, 5 or 10; .*=8\.$"):
        share(config(*ROW), 8)
    with pytest.raises(UserError, match="3 processes x 2 accumulated batches.* global_batch_size=12"):
        share(config(*ROW, "trainer.accumulate_grad_batches=2"), 3)


def test_two_keys_that_disagree_are_refused():
    with pytest.raises(UserError, match="batch_size=4 makes 8 images a step on 2 processes.*global_batch_size=10: "):
        share(config(*ROW, "batch_size=4"), 2)
    assert share(config(*ROW, "batch_size=5"), 2).total == 10
    with pytest.raises(UserError, match="type batch_size=NUMBER"):
        share(config("batch_size=null"), 1)
    with pytest.raises(UserError, match="global_batch_size=0: it is at least 1"):
        share(config("global_batch_size=0"), 1)


def test_elsewhere_either_key_can_be_given():
    assert config().batch_size == 16 and share(config(), 2).total == 32
    told = config("global_batch_size=32")
    assert told.batch_size is None and [share(told, number).each for number in (1, 2, 8)] == [32, 16, 4]


def test_a_training_is_known_by_the_batch_of_all_processes():
    """One with the batch of another on twice as many processes is another training, in other words the same one."""
    one, two = config("global_batch_size=32"), config("batch_size=16")
    shared = [replace(each, batch_size=16, global_batch_size=share(each, 2).total) for each in (one, two)]
    assert len({fingerprint(each.as_dict()) for each in (one, *shared)}) == 1
    assert fingerprint(two.as_dict()) != fingerprint(one.as_dict())
    # the config of a run of an earlier release has no global batch
    earlier = {name: value for name, value in two.as_dict().items() if name != "global_batch_size"}
    assert fingerprint(earlier) == fingerprint(two.as_dict())


@pytest.mark.parametrize(
    ("trainer", "processes"),
    [
        ({}, 1),
        ({"devices": 4}, 4),
        ({"devices": [0, 2]}, 2),
        ({"devices": 8, "num_nodes": 2}, 16),
        ({"devices": "auto"}, 1),
    ],
)
def test_processes_that_a_config_tells(trainer, processes):
    assert processes_told(trainer) == processes

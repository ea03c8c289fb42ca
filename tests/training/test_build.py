"""A training that is built: callbacks in their order, one trainer, nothing left behind where it cannot be built."""

import random

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from deeplab_lit.training import build as builds
from deeplab_lit.training.build import build
from deeplab_lit.training.callbacks import Clock, Pictures, Throughput, in_order
from deeplab_lit.training.curve import UnbrokenCurve
from deeplab_lit.training.interrupts import SaveFirst
from deeplab_lit.training.lightning_private import MovingAverage
from deeplab_lit.training.plan import make_plan
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of

TINY = [
    "data.train_images=24", "data.val_images=5", "max_steps=2", "val_every=2", "batch_size=2", "crop_size=49",
    "num_workers=0", "trainer.accelerator=cpu", "trainer.precision=32-true", "logger=csv", "backbone=timm",
    "backbone.name=test_resnet",
]  # fmt: skip


def test_callbacks_come_after_those_that_they_name():
    names = [Clock, UnbrokenCurve, Throughput, Pictures, MovingAverage, SaveFirst]
    made = [Clock(), UnbrokenCurve(), Throughput(), Pictures(0), MovingAverage(0.9), SaveFirst("x", "y")]
    for seed in range(20):
        shuffled = random.Random(seed).sample(made, len(made))
        place = {type(each): i for i, each in enumerate(in_order(shuffled))}
        assert len(place) == len(names)
        assert place[SaveFirst] > max(place[UnbrokenCurve], place[MovingAverage])
        assert place[MovingAverage] > place[Pictures]
    assert in_order(made) == made


def test_callbacks_that_come_after_one_another_are_refused():
    first, second = type("First", (Callback,), {}), type("Second", (Callback,), {})
    first.comes_after, second.comes_after = (second,), (first,)
    with pytest.raises(ValueError, match="comes after another"):
        in_order([first(), second()])


def test_a_training_is_built_with_one_trainer(tmp_path, monkeypatch):
    made, plan = [], make_plan(config_of(*TINY, f"output={tmp_path}", "ema=0.9"))
    monkeypatch.setattr(builds.L, "Trainer", lambda *a, real=L.Trainer, **k: made.append(1) or real(*a, **k))
    with build(plan, "typed", [Callback()]) as training:
        assert len(made) == 1 and (training.run.folder / "config.yaml").is_file()
        kinds = [type(each) for each in training.trainer.callbacks]
        # what writes checkpoints comes last, after the average that it writes
        assert kinds[-2:] == [ModelCheckpoint] * 2 and kinds.index(MovingAverage) < kinds.index(SaveFirst)
        assert [type(each).__name__ for each in training.trainer.loggers] == ["CsvLogger"]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("trainer.devices=many", "is refused by lightning.Trainer"),
        ("+logger.tensorboard.colour=red", "logger.tensorboard does not accept {'colour': 'red'}"),
    ],
)
def test_what_cannot_be_built_leaves_no_run_directory(tmp_path, mistake, sentence):
    config = config_of(*TINY, "logger=tensorboard", f"output={tmp_path}/runs", mistake)
    with pytest.raises(UserError, match=sentence), build(make_plan(config), "typed"):
        pass
    assert not (tmp_path / "runs").exists()

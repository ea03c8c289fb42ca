"""A run that is told to stop saves first, and the resumed run is the uninterrupted one."""

import os
import signal
from pathlib import Path

import pytest
import torch

from deeplab_lit.config.compose import typed
from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.training.result import Result
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.training.train import train
from deeplab_lit.utils.errors import Interrupted
from tests.composing import compose
from tests.end_to_end.test_train import rows

SMALL = [
    "data.train_images=12", "data.val_images=6", "eval_batch_size=1", "max_steps=6", "val_every=2", "batch_size=2",
    "crop_size=33", "num_workers=0", "model.rate_scale=0.2", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "logger=csv", "trainer.log_every_n_steps=1", "pictures=0", "crf=none",
]  # fmt: skip
TRUNK = ["backbone=timm", "backbone.name=test_resnet"]  # timm's smallest


def run(folder, *overrides, trunk=TRUNK):
    cfg = compose("data=shapes", *SMALL, *trunk, f"output={folder}", "name=test", *overrides)
    return train(typed(cfg), "python -m deeplab_lit.train model=aspp_l")


def last(folder):
    (found,) = Path(folder).glob("*/*/checkpoints/last.ckpt")
    return torch.load(found, weights_only=True)


def curve(folder):
    (found,) = Path(folder).glob("*/*/metrics.csv")
    return rows(found.parent)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def signal_at(monkeypatch, step_name, call, signum):
    """Send ourselves a signal inside the given call of a step."""
    original, calls = getattr(Segmenter, step_name), 0

    def wrapped(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signum)
        return original(self, *arguments)

    monkeypatch.setattr(Segmenter, step_name, wrapped)


@pytest.mark.parametrize(
    ("step_name", "call", "signum", "stopped_at"),
    [
        ("training_step", 3, signal.SIGTERM, 3),
        ("training_step", 4, signal.SIGINT, 4),  # before a validation is due
        ("validation_step", 3, signal.SIGTERM, 2),  # inside the first validation
        ("validation_step", 8, signal.SIGINT, 4),  # inside the second
    ],
)
def test_a_signal_saves_and_the_resumed_run_is_the_uninterrupted_one(
    tmp_path, monkeypatch, whole, step_name, call, signum, stopped_at
):
    before = signal.getsignal(signum)
    with monkeypatch.context() as patch:
        signal_at(patch, step_name, call, signum)
        with pytest.raises(
            Interrupted, match=rf"{signal.Signals(signum).name} at step {stopped_at}, saved as"
        ) as caught:
            run(tmp_path)
    assert caught.value.signum == signum and str(caught.value).endswith("model=aspp_l resume=auto")
    assert signal.getsignal(signum) == before
    assert last(tmp_path)["global_step"] == stopped_at and not list(tmp_path.glob("*/*/result.json"))
    run(tmp_path, "resume=auto")
    a, b = last(whole), last(tmp_path)
    assert a["global_step"] == b["global_step"] == 6
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key
    assert curve(whole) == curve(tmp_path)


def test_a_signal_before_the_first_step_saves_after_it(tmp_path, monkeypatch):
    """Lightning's own handler would end the process with status 0 there, as if the training were done."""
    real = SegmentationData.train_dataloader
    monkeypatch.setattr(
        SegmentationData, "train_dataloader", lambda self: os.kill(os.getpid(), signal.SIGTERM) or real(self)
    )
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 1"):
        run(tmp_path)
    assert last(tmp_path)["global_step"] == 1


def test_lightning_handles_no_signal_outside_the_steps(tmp_path, monkeypatch):
    """There its handler would end the process with status 0, and without a result."""
    handlers, real = [], Segmenter.validation_step

    def noted(self, *arguments):
        if self.trainer.state.fn == "validate":
            handlers.append(signal.getsignal(signal.SIGTERM))
        return real(self, *arguments)

    monkeypatch.setattr(Segmenter, "validation_step", noted)
    before = signal.getsignal(signal.SIGTERM)
    run(tmp_path, "max_steps=4", "optimizer.lr=1e-20", trunk=["backbone=lite0_early"])  # the best is the first
    assert handlers and set(handlers) == {before} and signal.getsignal(signal.SIGTERM) == before


def test_a_run_that_is_trained_further_and_stopped_is_not_finished(tmp_path, monkeypatch):
    """The score of its shorter training would stand for the longer one."""
    first = run(tmp_path, "max_steps=2")
    (folder,) = tmp_path.glob("*/*")
    signal_at(monkeypatch, "training_step", 2, signal.SIGTERM)
    with pytest.raises(Interrupted, match="at step 4"):
        run(tmp_path, f"resume={folder}")
    assert not (folder / "result.json").exists() and Result.read(folder / "result-before.json") == first
    assert run(tmp_path, "resume=auto").steps == 6 and (folder / "result.json").is_file()


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaged")
    run(folder, "ema=0.9")
    return folder


@pytest.mark.parametrize(("step_name", "call", "stopped_at"), [("training_step", 3, 3), ("validation_step", 8, 4)])
def test_a_stopped_run_goes_on_with_its_weights_and_their_average(
    tmp_path, monkeypatch, averaged, step_name, call, stopped_at
):
    with monkeypatch.context() as patch:
        signal_at(patch, step_name, call, signal.SIGTERM)
        with pytest.raises(Interrupted, match=f"at step {stopped_at}"):
            run(tmp_path, "ema=0.9")
    run(tmp_path, "ema=0.9", "resume=auto")
    a, b = last(averaged), last(tmp_path)
    for part in ("state_dict", "current_model_state"):
        for key, value in a[part].items():
            assert torch.equal(value, b[part][key]), (part, key)
    assert any(not torch.equal(value, a["current_model_state"][key]) for key, value in a["state_dict"].items())
    assert curve(averaged) == curve(tmp_path)


def test_the_best_average_is_scored_and_not_the_last(tmp_path, monkeypatch):
    """The first validation is made the best one."""
    original = Segmenter.log

    def falling(self, name, value, **arguments):
        value = 1.0 / self.trainer.global_step if name == "val/miou" else value
        original(self, name, value, **arguments)

    monkeypatch.setattr(Segmenter, "log", falling)
    result = run(tmp_path, "ema=0.5", "optimizer.lr=0.02")
    assert result.best_step == 2
    seen = {row["step"]: row["val/pixel_accuracy"] for row in curve(tmp_path) if row["val/pixel_accuracy"]}
    assert len(set(seen.values())) > 1
    assert result.pixel_accuracy == pytest.approx(float(next(iter(seen.values()))), abs=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_run_follows_the_rate_and_the_schedule_that_it_is_told(tmp_path, optimizer):
    """The checkpoint holds the old ones: a finished run went on at rate 0."""
    told = [f"optimizer={optimizer}", "schedule.warmup=0"]
    run(tmp_path, *told, "optimizer.lr=0.02")
    before = last(tmp_path)
    (folder,) = tmp_path.glob("*/*")
    run(tmp_path, *told, "optimizer.lr=0.01", "max_steps=10", f"resume={folder}")
    after = last(tmp_path)
    assert (before["global_step"], after["global_step"]) == (6, 10)
    (scheduler,) = after["lr_schedulers"]
    group = after["optimizer_states"][0]["param_groups"][0]
    assert scheduler["base_lrs"][0] == group["initial_lr"] and scheduler["lr_lambdas"][0]["max_steps"] == 10
    rates = [float(row["lr/base_weight"]) for row in curve(tmp_path) if row["lr/base_weight"]]
    assert rates[-4:] == pytest.approx([0.01 * (1 - step / 10) ** 0.9 for step in range(6, 10)], rel=1e-4)
    moved = [key for key, value in before["state_dict"].items()
             if key.endswith("weight") and not torch.equal(value, after["state_dict"][key])]  # fmt: skip
    assert moved


def test_an_accumulated_step_is_finished_before_saving(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        signal_at(patch, "training_step", 3, signal.SIGTERM)  # the first half of the second step
        with pytest.raises(Interrupted, match="at step 2"):
            run(tmp_path, "trainer.accumulate_grad_batches=2", "val_every=4")
    run(tmp_path, "trainer.accumulate_grad_batches=2", "val_every=4", "resume=auto")
    assert last(tmp_path)["global_step"] == 6


@pytest.mark.long
def test_dropout_depends_on_the_step_alone(tmp_path, monkeypatch):
    vgg = ["backbone=vgg16", "backbone.recipe.head_width=16"]
    short = ["model=largefov", "max_steps=3", "val_every=5"]
    run(tmp_path / "whole", *short, trunk=vgg)
    with monkeypatch.context() as patch:
        signal_at(patch, "training_step", 1, signal.SIGTERM)
        with pytest.raises(Interrupted, match="at step 1"):
            run(tmp_path / "stopped", *short, trunk=vgg)
    torch.rand(1000)  # whatever else drew random numbers
    run(tmp_path / "stopped", *short, "resume=auto", trunk=vgg)
    a, b = last(tmp_path / "whole"), last(tmp_path / "stopped")
    assert all(torch.equal(value, b["state_dict"][key]) for key, value in a["state_dict"].items())


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_run_that_accumulates_other_batches_goes_on_with_the_same_images(tmp_path, monkeypatch, before, after):
    """Lightning counts batches, not steps: a step had half of its images, and validations came at other steps."""
    seen, original = [], Segmenter.training_step

    def spy(self, batch, index):
        seen.append((self.trainer.global_step, *batch["id"]))
        return original(self, batch, index)

    monkeypatch.setattr(Segmenter, "training_step", spy)

    def steps():
        found = {}
        for step, *ids in seen:
            found.setdefault(step, []).extend(ids)
        seen.clear()
        return found

    told = ["batch_size=null", "global_batch_size=2"]
    run(tmp_path / "whole", *told)
    whole = steps()
    stop_at = 3 * before
    with monkeypatch.context() as patch:
        signal_at(patch, "training_step", stop_at, signal.SIGTERM)
        with pytest.raises(Interrupted, match="at step 3"):
            run(tmp_path / "parts", *told, f"trainer.accumulate_grad_batches={before}")
    (folder,) = (tmp_path / "parts").glob("*/*")
    run(tmp_path / "parts", *told, f"trainer.accumulate_grad_batches={after}", f"resume={folder}")
    assert steps() == whole
    validated = [[row["step"] for row in curve(tmp_path / name) if row["val/miou"]] for name in ("whole", "parts")]
    assert validated[0] == validated[1] and len(validated[0]) == 3


@pytest.mark.parametrize(
    "options",
    [
        ["+trainer.gradient_clip_val=1", "trainer.precision=bf16-mixed"],
        ["trainer.precision=bf16-true"],
        ["trainer.log_every_n_steps=0"],
    ],
)
def test_arguments_of_lightning_that_meet_what_is_done_without_it(tmp_path, options):
    assert run(tmp_path, *options, "max_steps=2").steps == 2

"""A loss that is not finite, in the middle of a training."""

import csv
import json
import math

import pytest
import torch
from torch import nn

import deeplab_lit.training.segmenter
from deeplab_lit.config.schemas import AdamWConfig, SGDConfig
from deeplab_lit.models.norm import running_statistics
from deeplab_lit.training.not_finite import FiniteSteps
from deeplab_lit.training.optim import build_optimizer
from tests.end_to_end.running import use
from tests.end_to_end.test_train import TINIEST, run_folder

ARGUMENTS = [*TINIEST, "logger=csv", "max_steps=8", "val_every=4", "num_workers=0"]


def spoil(monkeypatch, *steps):
    """The losses of these steps are NaN, and so are their gradients."""
    calls, whole = iter(range(1000)), deeplab_lit.training.segmenter.segmentation_loss
    spoiled = lambda *arguments: whole(*arguments) * (math.nan if next(calls) in steps else 1)  # noqa: E731
    monkeypatch.setattr(deeplab_lit.training.segmenter, "segmentation_loss", spoiled)


def losses(run):
    with (run / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): row["train/loss"] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_it_stops_before_the_weights_are_touched_and_names_the_images(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        spoil(patch, 6)
        done = use("train", tmp_path, *ARGUMENTS, expect=1)
    run = run_folder(tmp_path)
    found = json.loads((run / "not_finite.json").read_text())
    assert found["step"] == 6 and len(found["ids"]) == len(set(found["ids"])) > 0
    assert f"the loss of step 6 is not finite (images {found['ids'][0]}" in done.stderr
    assert "on_nan=skip" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    assert all(bool(each.isfinite().all()) for each in last["state_dict"].values() if each.is_floating_point())
    # from there it goes on as if nothing had been
    use("train", tmp_path, *ARGUMENTS, f"resume={run}")
    assert list(losses(run)) == list(range(8)) and all(losses(run).values())


@pytest.mark.slow
def test_a_step_is_left_out(tmp_path, monkeypatch):
    spoil(monkeypatch, 2, 5)
    done = use("train", tmp_path, *ARGUMENTS, "on_nan=skip")
    run = run_folder(tmp_path)
    text = (run / "train.log").read_text()
    assert "the loss of step 2 is not finite, left out: " in text and "step 5" in text, done.stdout
    assert (
        "2 of 8 steps were left out" in done.stdout and json.loads((run / "result.json").read_text())["left_out"] == 2
    )
    assert [step for step, loss in losses(run).items() if loss == "nan"] == [2, 5] and len(losses(run)) == 8
    best = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert best["global_step"] == 8
    assert all(bool(each.isfinite().all()) for each in best["state_dict"].values() if each.is_floating_point())


@pytest.mark.slow
def test_a_bad_batch_of_an_accumulated_step_leaves_the_step_out_once(tmp_path, monkeypatch):
    spoil(monkeypatch, 2)  # the first of the two batches of step 1
    use("train", tmp_path, *ARGUMENTS, "max_steps=4", "on_nan=skip", "trainer.accumulate_grad_batches=2")
    (line,) = [
        each
        for each in (run_folder(tmp_path) / "train.log").read_text().splitlines()
        if "is not finite, left out" in each
    ]
    assert "the loss of step 1 is not finite" in line and line.count("train_") == 2


def step(weight, optimizer, finite, number, gradient, loss=1.0):
    weight.grad = torch.full_like(weight, gradient)
    finite.note(number, [f"image {number}"], torch.tensor(loss))
    finite.guard(optimizer, number, scaled=False)
    optimizer.step()


@pytest.mark.parametrize("config", [SGDConfig(lr=0.1), AdamWConfig(lr=0.1)])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_that_is_left_out_leaves_weights_and_optimiser_as_they_are(config, fused, bad):
    """Even the first one, whose momentum a fused optimiser would otherwise take from uninitialised memory."""
    ends = []
    for gradients in ([bad, 1.0, bad, 2.0], [1.0, 2.0]):
        network = nn.Linear(3, 2, bias=False)
        network.new_parameters = list
        nn.init.ones_(network.weight)
        optimizer, finite = build_optimizer(network, config, fused), FiniteSteps("skip")
        for number, gradient in enumerate(gradients):
            step(network.weight, optimizer, finite, number, gradient)
        ends.append((network.weight, optimizer.state[network.weight], finite.problems(1)))
    torch.testing.assert_close(ends[0][:2], ends[1][:2])
    assert [(each.step, each.ids) for each in ends[0][2]] == [(0, ["image 0"]), (2, ["image 2"])] and not ends[1][2]


@pytest.mark.parametrize("scaled", [False, True])
def test_statistics_of_trained_normalisation_stay_too(scaled):
    """A network whose running statistics are NaN is dead in every later validation."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network.new_parameters = list
    optimizer, finite = build_optimizer(network, SGDConfig(lr=0.1), True), FiniteSteps("skip")
    finite.keep(running_statistics(network))
    seen = []
    for number, image in enumerate(
        [torch.ones(2, 3, 5, 5), torch.full((2, 3, 5, 5), math.inf), torch.ones(2, 3, 5, 5)]
    ):
        finite.begin()
        optimizer.zero_grad()
        loss = network(image).square().mean()
        loss.backward()
        finite.note(number, [str(number)], loss)
        finite.guard(optimizer, number, scaled)
        seen.append([each.clone() for each in running_statistics(network)])
    assert all(torch.equal(*pair) for pair in zip(seen[0], seen[1], strict=True))
    assert all(bool(each.isfinite().all()) for each in seen[2]) and not torch.equal(seen[1][0], seen[2][0])


def test_after_a_bad_step_no_weights_change_until_it_is_read():
    network = nn.Linear(3, 2, bias=False)
    network.new_parameters = list
    optimizer, finite, seen = build_optimizer(network, SGDConfig(lr=0.1), True), FiniteSteps("stop"), []
    for number, gradient in enumerate([1.0, math.nan, 1.0]):
        step(network.weight, optimizer, finite, number, gradient)
        seen.append(network.weight.detach().clone())
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[1], seen[2])
    assert finite.problems(1)[0].step == 1 and not finite.problems(1)


def test_a_loss_that_is_not_finite_is_named_before_the_other_images_of_its_step():
    finite = FiniteSteps("skip")
    for ids, loss in ((["a", "b"], 1.0), (["c"], math.inf)):
        finite.note(0, ids, torch.tensor(loss))
    assert finite.problems(1)[0].ids == ["c"]

"""A loss that is not finite, in the middle of a training."""

import csv
import json
import math

import pytest
import torch

import deeplab_lit.training.segmenter
from deeplab_lit.training.not_finite import bad_batches
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
    assert [step for step, loss in losses(run).items() if loss == "nan"] == [2, 5] and len(losses(run)) == 8
    best = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert best["global_step"] == 8
    assert all(bool(each.isfinite().all()) for each in best["state_dict"].values() if each.is_floating_point())


@pytest.mark.parametrize(("loss", "found"), [(1.0, []), (math.nan, ["a", "b"]), (math.inf, ["a", "b"])])
def test_what_is_not_finite(loss, found):
    assert bad_batches(torch.tensor(loss), ["a", "b"], 1) == found

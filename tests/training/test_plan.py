"""What a config decides before anything is built or written."""

import gzip
from dataclasses import asdict

import pytest
import torch

from deeplab_lit.training import plan as plans
from deeplab_lit.training.plan import make_plan, network_spec
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of
from tests.conftest import ROOT

CPU = ["trainer.accelerator=cpu", "trainer.precision=32-true", "logger=csv"]


def test_a_plan_writes_nothing_and_reads_no_data(tmp_path):
    plan = make_plan(config_of(*CPU, "data=voc", f"data.root={tmp_path}/nowhere", f"output={tmp_path}/runs"))
    assert plan.first and plan.trained is None and plan.resumed is None and plan.weights is None
    assert not list(tmp_path.iterdir())
    assert plan.trainer["precision"] == "32-true" and "recipe" not in plan.network["backbone"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("max_steps=0", "max_steps=0: it is at least 1"),
        ("ema=1", "ema=1.0: it is above 0 and below 1"),
        ("loss.resolution=maps", "choose one of map, full"),
        ("num_workers=-1", "num_workers=-1: it is at least 0"),
        ("+trainer.device=1", r"trainer.device is not known to lightning.Trainer. Did you mean 'devices'"),
        ("trainer=gpu", "PyTorch sees no GPU here"),
        ("resume=nowhere", "resume='nowhere' does not exist"),
    ],
)
def test_values_that_cannot_be(override, words):
    if override == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=words):
        make_plan(config_of(*([] if "trainer" in override else CPU), override))


def test_a_file_of_weights_is_read_once_and_brings_its_normalisation(tmp_path, monkeypatch):
    file = tmp_path / "old.ckpt"
    file.write_bytes(gzip.decompress((ROOT / "tests" / "fixtures" / "old_layout" / "last.ckpt.gz").read_bytes()))
    reads = []
    monkeypatch.setattr(plans, "read", lambda path, read=plans.read: reads.append(path) or read(path))
    config = config_of(*CPU, "init=checkpoint", f"init.path={file}", "parity.normalization=bgr_bytes")
    plan = make_plan(config)
    assert reads == [str(file)] and plan.weights["global_step"] == 2
    assert asdict(plan.normalization)["mean"] == (123.675, 116.28, 103.53)


def test_a_trained_crf_is_a_part_of_the_network_and_scores_nothing_more():
    plan = make_plan(config_of(*CPU, "crf=v2_resnet101", "crf.trainable=true"))
    assert plan.crf is None and plan.network["crf"]["bilateral_weight"] == 4
    plan = make_plan(config_of(*CPU, "crf=v2_resnet101"))
    assert plan.crf is not None and plan.network["crf"] is None


def test_the_description_of_a_network_holds_no_recipe():
    assert "recipe" not in str(network_spec(config_of("backbone=vgg16", "model=largefov")))

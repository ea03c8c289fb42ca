"""What a config decides before anything is built or written."""

import gzip
import sys
from dataclasses import asdict

import pytest
import torch

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.models import ASPP, DeepLab, ResNet
from deeplab_lit.training import plan as plans
from deeplab_lit.training.build import build_segmenter
from deeplab_lit.training.plan import make_plan, network_spec, settle
from deeplab_lit.training.runs import Run
from deeplab_lit.training.trainer import trainer_arguments
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of
from tests.conftest import ROOT
from tests.weights.torch_nets import ListResNet, without_values

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
        ("optimizer.lr=nan", "optimizer.lr=nan: it is a finite number, at least 0"),
        ("optimizer.lr=-1", "optimizer.lr=-1.0: it is a finite"),
        ("ema=1", "ema=1.0: it is above 0 and below 1"),
        ("loss.resolution=maps", "choose one of map, full"),
        ("num_workers=-1", "num_workers=-1: it is at least 0"),
        ("+trainer.device=1", r"trainer.device is not known to lightning.Trainer. Did you mean 'devices'"),
        ("+trainer.max_steps=1", "trainer.max_steps is not set here: type max_steps=NUMBER"),
        ("+trainer.fast_dev_run=true", "type max_steps=1"),
        ("+trainer.limit_val_batches=0", "leaves nothing to score"),
        ("trainer=gpu", "PyTorch sees no GPU here"),
        ("resume=nowhere", "resume='nowhere' does not exist"),
    ],
)
def test_values_that_cannot_be(override, words):
    if override == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=words):
        make_plan(config_of(*([] if "trainer" in override else CPU), override))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.channels=0"], "data.channels=0: it is a whole number"),
        (["data.bits=10"], "data.bits=10: choose 8 or 16"),
        (["data.channels=4", "loss.dense_energy=0.1"], "4 channels of 8 bits, .*: type loss.dense_energy=0"),
        (["data.bits=16", "crf=v2_vgg16", "crf.trainable=true"], "3 channels of 16 bits, .*: type crf.trainable=false"),
        (["crf=v2_vgg16", "crf.trainable=true", "crf.channels=[0]"], "type crf.certainty=null .* crf.channels=null"),
    ],
)
def test_parts_that_compare_rgb_bytes_are_refused_for_other_images(overrides, words):
    with pytest.raises(UserError, match=words):
        make_plan(config_of(*CPU, "data=folder", "data.root=x", "data.classes=[a,b]", *overrides))


def test_the_rates_of_a_start_that_cannot_tell_them(tmp_path):
    torch.save(without_values(lambda: ListResNet(21)), tmp_path / "a.pth")
    start = [*CPU, "init=checkpoint", f"init.path={tmp_path}/a.pth"]
    with pytest.raises(UserError, match=r"a.pth is DeepLab-ResNet-101 .* or init.rates to train"):
        make_plan(config_of(*start))
    plan = make_plan(config_of(*start, "init.rates=[6,12]"))
    assert plan.weights["deeplab_lit"]["network"]["model"]["rates"] == [6, 12]


@pytest.mark.parametrize(
    ("package", "overrides", "words"),
    [
        ("tensorboard", ["logger=tensorboard"], r"needs a package: pip install 'deeplab_lit\[tensorboard\]'"),
        ("pydensecrf", ["crf=v2_vgg16", "crf.engine=pydensecrf"], "crf.engine=pydensecrf needs pydensecrf2"),
    ],
)
def test_what_is_not_installed_is_missed_before_anything_is_built(monkeypatch, package, overrides, words):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=words):
        make_plan(config_of(*CPU, *overrides))


def test_a_file_of_weights_is_read_once_and_brings_its_normalisation(tmp_path, monkeypatch):
    file = tmp_path / "old.ckpt"
    file.write_bytes(gzip.decompress((ROOT / "tests" / "fixtures" / "old_layout" / "last.ckpt.gz").read_bytes()))
    reads = []
    monkeypatch.setattr(plans, "read", lambda path, *more, read=plans.read: reads.append(path) or read(path, *more))
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


def test_what_a_gpu_gets_by_itself(monkeypatch):
    """Algorithms measured for the size of the crops, half precision, and the order of memory that it is fast in."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
    found = trainer_arguments(config_of("trainer=ddp"))
    assert found["benchmark"] is True and found["precision"] == "bf16-mixed" and found["sync_batchnorm"] is True
    assert "benchmark" not in trainer_arguments(config_of("trainer.accelerator=cpu"))


@pytest.mark.parametrize(
    ("precision", "order"),
    [("bf16-mixed", torch.channels_last), ("16-mixed", torch.channels_last), ("32-true", torch.contiguous_format)],
)
def test_every_half_precision_is_channels_last(precision, order):
    config = settle(config_of(), {"accelerator": "cpu", "devices": 1})
    network = DeepLab(ResNet(18), ASPP(512, 3))
    segmenter = build_segmenter(config, network, LabelSet(("a", "b", "c")), precision)
    assert segmenter._format is order


def test_loaders_and_validation_batches_follow_the_machine(monkeypatch):
    monkeypatch.setattr("deeplab_lit.training.plan.cores", lambda: 6)
    two = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    assert settle(config_of(), two).num_workers == 3  # each of two processes
    monkeypatch.setattr("deeplab_lit.training.plan.cores", lambda: 64)
    told = settle(config_of("data=voc", "data.root=x"), {"accelerator": "cpu", "devices": 1})
    assert (told.num_workers, told.eval_batch_size) == (8, 1)
    assert settle(config_of("num_workers=0", "eval_batch_size=3"), two).num_workers == 0


@pytest.mark.parametrize(("resume", "trained"), [("auto", True), ("null", False)])
def test_a_row_is_trained_again_where_it_is_told_to(resume, trained, monkeypatch, tmp_path):
    found = [Run(tmp_path / "before")]
    monkeypatch.setattr(plans, "find_finished", lambda *_: found)
    row = "experiments=table3_aspp_vgg16/largefov"
    plan = make_plan(config_of(row, "budget=mini", f"output={tmp_path}", f"resume={resume}"))
    assert (plan.trained is not None) == trained

"""A user's mistake ends in one sentence with the mend."""

import subprocess
import sys

import pytest

from tests.end_to_end.running import use


def run(*arguments, env=None):
    import os

    return subprocess.run(
        [sys.executable, "-m", "deeplab_lit.train", *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["modle=aspp_l"], ["modle is not a key", "'model'"]),
        (["max_step=3"], ["max_step is not a key", "'max_steps'"]),
        (["lr=3"], ["lr is not a key", "'optimizer.lr'"]),
        (["model=asppl"], ["model=asppl does not exist", "aspp_l, aspp_s", "'aspp_l'"]),
        (["max_steps=many"], ["error: max_steps=many: it takes a whole number."]),
        (["ema=lots"], ["error: ema=lots: it takes a number."]),
        (["augment.flip=perhaps"], ["error: augment.flip=perhaps: it takes true or false."]),
        (["scales=[0.5,1.0]"], ["scales takes one of msc, single", "scales.KEY=VALUE"]),
        (["data=voc", "data.rooot=x"], ["data.rooot is not a key", "'data.root'"]),
        (["data=voc"], ["data.root is missing", "data.download=true"]),
        (["data=coco"], ["data.root is missing", "data.root=FOLDER", "roots.coco"]),
        (
            ["experiments=table4_resnet101/asp"],
            ["experiments=table4_resnet101/asp does not exist", "aspp, aug", "'aspp'"],
        ),
        (["experiments=table4"], ["experiments=table4 does not exist", "table4_resnet101"]),
        (["init=checkpoint"], ["init.path", "is required"]),
        (["parity=cafe"], ["parity=cafe does not exist", "caffe, modern"]),
        (
            ["model=deeplab_7x7"],
            ["model=deeplab_7x7 does not go with backbone=lite0_early", "backbone=vgg16", "aspp_l"],
        ),
        (
            ["backbone=vgg16", "model=baseline"],
            ["does not go with backbone=vgg16", "resnet101", "msc_features"],
        ),
        (["optimizer.lr"], ["'optimizer.lr' is no KEY=VALUE: type optimizer.lr=VALUE, without spaces."]),
        (["max_steps", "5"], ["'max_steps' is no KEY=VALUE: type max_steps=5, without spaces."]),
        (["=3"], ["=3: type KEY=VALUE"]),
        (["data.classes=[a,", "b]"], ["data.classes=[a,: a list is one word, in quotes"]),
        (["scale=mini"], ["scale is called budget now: type budget=full, budget=subset or budget=mini."]),
        (["data.check=true"], ["data.check is a command of its own now: type python -m deeplab_lit.check_data"]),
        (["+backbone.recipe.sgdlr=1"], ["backbone.recipe.sgdlr is not known", "'sgd_lr'"]),
        (["+trainer.devcies=2"], ["trainer.devcies is not known to lightning.Trainer", "'devices'"]),
        (
            ["data=folder", "data.classes=[road,Gebäude]"],
            ["'ä' is taken between quotation marks alone"],
        ),
        (["budget=mini"], ["budget=mini is for the rows of published tables: type experiments="]),
        (["rows=msc"], ["rows=msc chooses among the rows of a table: type experiments=TABLE"]),
        (["experiments=table4_resnet101/msc", "rows=msc"], ["rows=msc chooses among the rows of a table"]),
    ],
)
def test_mistakes_in_the_config(tmp_path, arguments, words):
    text = use("train", tmp_path, *arguments, "hydra.verbose=false", expect=1).stderr.strip()
    for word in words:
        assert word in text, text
    assert "Traceback" not in text and len(text.splitlines()) == 1, text


def test_the_trace_comes_back_when_asked_for():
    done = run("model=deeplab_7x7", env={"HYDRA_FULL_ERROR": "1"})
    assert done.returncode == 1 and "Traceback" in done.stderr and "UserError" in done.stderr

"""The start summary: its lines at several widths, and where it says that values come from."""

import logging

import pytest

from deeplab_lit.training.build import build
from deeplab_lit.training.log import log
from deeplab_lit.training.plan import make_plan
from deeplab_lit.training.start_summary import show_summary
from tests.composing import config_of

SMALL = [
    "data.train_images=16", "data.val_images=4", "num_workers=0", "trainer.accelerator=cpu", "logger=csv",
    "trainer.precision=32-true", "pictures=0",
]  # fmt: skip


def summary(folder, *arguments):
    """The lines of the summary of a training."""
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    with build(make_plan(config_of(*SMALL, f"output={folder}", *arguments)), "typed") as training:
        log.addHandler(handler)
        show_summary(training)
        log.removeHandler(handler)
    return "\n".join(told).split("\n")


def test_it_wraps_at_words_and_indents_the_rest(tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    arguments = ["crf=v2_vgg16", "sampling=rare_classes", "ema=0.99", "init=imagenet", "backbone=efficientnet_lite0"]
    whole = summary(tmp_path, *arguments, "name=test")
    monkeypatch.setenv("COLUMNS", "60")
    wrapped = summary(tmp_path, *arguments, "name=test")
    assert max(map(len, whole)) > 60
    for line in wrapped:
        assert len(line) <= 60 or len(line.split()) <= 2, line  # a path stays whole
        assert line[10] == " " and line[11] != " ", line
    folders = [[word for line in lines for word in line.split() if "test/" not in word] for lines in (whole, wrapped)]
    assert folders[0] == folders[1]


@pytest.mark.parametrize(("optimizer", "backbone"), [("adamw", "resnet18"), ("sgd", "resnet18"), ("sgd", "timm")])
def test_a_value_that_follows_from_a_choice_says_so(tmp_path, optimizer, backbone):
    small = ["backbone.name=test_resnet"] if backbone == "timm" else []
    arguments = [f"optimizer={optimizer}", f"backbone={backbone}", *small]
    text = "\n".join(summary(tmp_path, *arguments))
    rate = config_of(*arguments).optimizer.lr
    assert f"learning rate {rate:g} (of " in text and f" with {optimizer})" in text
    assert "1000 steps of batch 16, validation every 250 (of " in text and "crop 97 (of " in text
    typed = "\n".join(summary(tmp_path, *arguments, "optimizer.lr=0.5", "max_steps=3", "crop_size=65", "batch_size=2"))
    assert "learning rate 0.5\n" in typed and "crop 65, " in typed
    assert "3 steps of batch 2, validation every 250 (of " in typed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ["2, 4, 5, 7 on maps of 13 x 13 (a crop of 97 at output stride 8)", "times 0.3 (data.recipe.rate_scale)"]),
        (["crop_size=321"], ["2, 4, 5, 7 on maps of 41 x 41", "times 0.3 (data.recipe.rate_scale)"]),
        (["model.rate_scale=1.0"], ["6, 12, 18, 24 on maps of 13 x 13", "as published for maps of 41 x 41"]),
        (["model.rate_scale=0.5", "backbone.output_stride=16"], ["on maps of 7 x 7", "times 0.5 (model.rate_scale)"]),
    ],
)
def test_the_rates_stand_beside_the_map_that_the_crop_gives(tmp_path, arguments, told):
    text = "\n".join(summary(tmp_path, *arguments))
    assert all(each in text for each in told), text

"""The final score: the best checkpoint's, with no second validation of weights that have just been validated."""

import json
import time
from types import SimpleNamespace as Namespace

import numpy as np
import pytest

from deeplab_lit.data.normalization import Normalization
from deeplab_lit.evaluate import main as evaluate
from deeplab_lit.training import final_score
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.training.train import train
from tests.composing import config_of

TINY = [
    "data.train_images=24", "data.val_images=5", "val_every=2", "batch_size=2", "crop_size=49", "num_workers=0",
    "trainer.accelerator=cpu", "trainer.precision=32-true", "logger=csv", "backbone=timm", "crf=none", "pictures=0",
    "backbone.name=test_resnet",
]  # fmt: skip


@pytest.fixture
def validations(monkeypatch):
    """The step of each validation, which takes at least a tenth of a second."""
    steps, real = [], Segmenter.on_validation_epoch_end

    def noted(self):
        steps.append(self.trainer.global_step)
        time.sleep(0.1)
        real(self)

    monkeypatch.setattr(Segmenter, "on_validation_epoch_end", noted)
    return steps


@pytest.mark.parametrize(("steps", "expected"), [(4, [2, 4]), (5, [2, 4, 5])])
@pytest.mark.parametrize("more", [[], ["ema=0.9"]])
def test_the_last_validation_is_not_made_twice(tmp_path, validations, more, steps, expected):
    overrides = [*TINY, *more, f"max_steps={steps}", "optimizer.lr=0.002", f"output={tmp_path}"]
    result = train(config_of(*overrides), "typed")
    again = [] if result.best_step == steps else [steps]
    assert validations == expected + again
    assert 0 < result.images_per_second < 5 / 0.1  # the validation's own time


def test_the_score_is_that_of_evaluate(tmp_path, monkeypatch):
    result = train(config_of(*TINY, "max_steps=4", f"output={tmp_path}"), "typed")
    arguments = [f"checkpoint={result.checkpoint}", f"output={tmp_path}/scores", "device=cpu", "precision=32-true"]
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments])
    evaluate()
    (written,) = (json.loads(file.read_text()) for file in tmp_path.glob("scores/**/result.json"))
    assert result.miou == pytest.approx(written["miou"], abs=1e-6)
    assert result.per_class_iou == pytest.approx(written["per_class_iou"], abs=1e-6)


def test_the_crf_refines_what_the_validation_scored():
    """An image of any size as a whole, where predict would take windows."""
    from deeplab_lit.models import ASPP, DeepLab, ResNet

    training = Namespace(
        trainer=Namespace(precision="32-true", strategy=Namespace(root_device="cpu")),
        segmenter=Namespace(network=DeepLab(ResNet(18), ASPP(512, 5), False)),
        data=Namespace(normalization=Normalization()),
        config=Namespace(eval_size=65),
    )
    predictor = final_score._predictor(training)
    assert predictor.fits(np.broadcast_to(np.uint8(0), (1024, 2048, 3)))

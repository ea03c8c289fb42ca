"""The recipes of code bases of weak supervision, against the values that their public files have."""

import pytest

from deeplab_lit.config.checks import check_numbers
from deeplab_lit.config.schemas import CheckpointConfig, DenseCRFConfig, ImageNetConfig, PolyConfig, SGDConfig
from tests.composing import config_of

FILE = ["data.root=x", "roots.sbd=x"]
COCO = [*FILE, "init.path=deeplabv1_resnet101-coco.pth"]


@pytest.mark.parametrize(
    ("recipe", "start", "lr", "images", "accumulated", "steps", "most", "balanced"),
    [
        ("kazuto", "coco", 2.5e-4, 10, 2, 20000, 1.5, False),
        ("l2g", "coco", 2.5e-4, 10, 2, 20000, 1.5, False),
        ("clims", "imagenet", 2.5e-4, 20, 2, 30000, 2.0, True),
        ("advcam", "imagenet", 2.5e-4, 10, 1, 30000, 2.0, True),
        ("clip_es", "imagenet", 2e-4, 10, 2, 20000, 1.5, False),
    ],
)
def test_a_recipe_has_the_values_of_its_code_base(recipe, start, lr, images, accumulated, steps, most, balanced):
    found = config_of(f"recipe={recipe}", *(COCO if start == "coco" else FILE))
    check_numbers(found)
    assert isinstance(found.init, CheckpointConfig if start == "coco" else ImageNetConfig)
    assert found.backbone["depth"] == 101 and found.model["_target_"].endswith("ASPP")
    assert found.scales.factors == [0.5, 0.75, 1.0] and found.model["rates"] == [6, 12, 18, 24]
    assert isinstance(found.optimizer, SGDConfig) and found.optimizer.lr == lr and found.optimizer.weight_decay == 5e-4
    assert isinstance(found.schedule, PolyConfig) and (found.schedule.power, found.schedule.every) == (0.9, 10)
    assert found.global_batch_size == images and found.batch_size is None
    assert found.trainer["accumulate_grad_batches"] == accumulated
    assert (found.crop_size, found.max_steps) == (321, steps)
    assert (min(found.augment.scale_list), max(found.augment.scale_list)) == (0.5, most)
    assert found.augment.scale_range is None and found.loss.balanced is balanced
    crf = found.crf
    assert isinstance(crf, DenseCRFConfig) and (crf.normalization, crf.iterations) == ("symmetric", 10)
    assert (crf.bilateral_weight, crf.bilateral_xy_std, crf.bilateral_rgb_std) == (4, 67, 3)
    assert (crf.gaussian_weight, crf.gaussian_xy_std) == (3, 1)


def test_what_is_typed_beside_a_recipe_wins():
    found = config_of("recipe=clims", *FILE, "max_steps=7", "loss=cross_entropy", "backbone=resnet50")
    assert found.max_steps == 7 and not found.loss.balanced and found.backbone["depth"] == 50
    assert config_of().max_steps != 30000

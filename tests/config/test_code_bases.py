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


@pytest.mark.parametrize(
    ("recipe", "start", "lr", "images", "crop", "steps", "most"),
    [
        ("l2g_coco", COCO[2:], 2.5e-4, 20, 321, 50000, 1.5),
        ("lpcam_coco", COCO[2:], 2e-4, 20, 321, 100000, 1.5),
        ("rib_coco", [], 2.5e-4, 10, 481, 30000, 2.0),
    ],
)
def test_recipes_on_coco_have_81_classes(recipe, start, lr, images, crop, steps, most):
    found = config_of(f"recipe={recipe}", "roots.coco=x", *start)
    check_numbers(found)
    assert found.data["_target_"].endswith("COCO") and found.data["classes"] == "coco"
    assert (found.optimizer.lr, found.global_batch_size, found.crop_size, found.max_steps) == (lr, images, crop, steps)
    assert max(found.augment.scale_list) == most and found.backbone["depth"] == 101


def test_l2g_is_kazuto_but_for_the_image_of_the_crf():
    found, other = (config_of(f"recipe={recipe}", *FILE, "init.path=x").as_dict() for recipe in ("l2g", "kazuto"))
    assert {key for key in found if found[key] != other[key]} == {"crf"}
    assert {key for key in found["crf"] if found["crf"][key] != other["crf"][key]} == {"image"}
    assert found["crf"]["image"] == "rgb" and found["crf"]["normalization"] == "symmetric"


def test_l2g_with_vgg16_has_its_crop_and_its_crf():
    found = config_of("recipe=l2g_vgg16", *FILE)
    check_numbers(found)
    assert found.backbone["_target_"].endswith("VGG16") and found.model["_target_"].endswith("ASPP")
    assert (found.crop_size, found.max_steps, max(found.augment.scale_list)) == (448, 30000, 2.0)
    crf = found.crf
    assert (crf.bilateral_weight, crf.bilateral_xy_std, crf.bilateral_rgb_std) == (4, 65, 3)
    assert (crf.gaussian_weight, crf.gaussian_xy_std, crf.normalization) == (2, 2, "symmetric")
    first = config_of("recipe=l2g_vgg16", *FILE, "model=largefov", "crf=v1_largefov", "crf.normalization=symmetric")
    assert (first.crf.bilateral_xy_std, first.crf.bilateral_rgb_std, first.crf.gaussian_xy_std) == (121, 5, 3)


def test_what_is_typed_beside_a_recipe_wins():
    found = config_of("recipe=clims", *FILE, "max_steps=7", "loss=cross_entropy", "backbone=resnet50")
    assert found.max_steps == 7 and not found.loss.balanced and found.backbone["depth"] == 50
    assert config_of().max_steps != 30000

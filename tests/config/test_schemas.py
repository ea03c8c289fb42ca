"""The switches between the released nets and today's habits, together and one by one, down to the objects they set."""

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from deeplab_lit.config.paths import conf_folder
from deeplab_lit.data.normalization import Normalization
from tests.composing import compose
from tests.models.test_network import network


def resolved(*overrides):
    return OmegaConf.to_container(compose(*overrides), resolve=True)


def test_every_switch_differs_and_says_what_it_does():
    caffe, modern = (
        yaml.safe_load((conf_folder() / "parity" / f"{name}.yaml").read_text()) for name in ("caffe", "modern")
    )
    assert caffe.keys() == modern.keys() and len(caffe) == 11
    # the published CRF weights belong to one normalisation, whatever the network: it is a switch to be set by itself
    assert caffe["crf_normalization"] == modern["crf_normalization"] == "after"
    assert all(caffe[key] != modern[key] for key in caffe if key not in ("defaults", "crf_normalization"))
    for name in ("caffe", "modern"):
        lines = (conf_folder() / "parity" / f"{name}.yaml").read_text().splitlines()[2:]
        assert all(" # " in line for line in lines)


def test_caffe_is_the_released_nets():
    cfg = resolved("parity=caffe", "backbone=vgg16", "model=largefov", "scales=msc", "data=voc")
    assert cfg["align_corners"] is True and cfg["loss"]["resolution"] == "map" and cfg["loss"]["msc"] == "full_map"
    normalization = Normalization.chosen(cfg["parity"]["normalization"])
    # RECIPES: BGR, 0-255, mean 104.008 / 116.669 / 122.675 subtracted, no std
    image = torch.zeros(2, 2, 3, dtype=torch.uint8).numpy()
    image[..., 0] = 200  # red
    found = normalization(image)[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0 - 104.008, 0 - 116.669, 200 - 122.675]))
    net = network("backbone=vgg16", "model=largefov")
    pools = [layer for layer in net.trunk.modules() if isinstance(layer, nn.MaxPool2d)]
    assert all(pool.kernel_size in (3, (3, 3)) and pool.ceil_mode for pool in pools) and len(pools) == 5
    assert isinstance(net.head.pool5a, nn.AvgPool2d) and net.align_corners is True


def test_modern_is_torchvisions():
    cfg = resolved("parity=modern", "backbone=resnet18")
    assert cfg["align_corners"] is False and cfg["loss"]["resolution"] == "full" and cfg["loss"]["msc"] == "own_map"
    assert Normalization.chosen(cfg["parity"]["normalization"]) == Normalization()
    net = network("backbone=vgg16", "model=largefov", parity="modern")
    pools = [layer for layer in net.trunk.modules() if isinstance(layer, nn.MaxPool2d)]
    assert all(pool.kernel_size in (2, (2, 2)) and not pool.ceil_mode for pool in pools)
    assert isinstance(net.head.pool5a, nn.Identity) and net.align_corners is False


@pytest.mark.parametrize(
    ("switch", "value", "key", "seen"),
    [
        ("align_corners", "false", "align_corners", False),
        ("loss", "full", "loss.resolution", "full"),
        ("msc_loss", "own_map", "loss.msc", "own_map"),
        ("stride_on", "3x3", "backbone.stride_on", "3x3"),
        ("ceil_mode", "false", "backbone.ceil_mode", False),
        ("frozen_affine", "false", "backbone.frozen_affine", False),
        ("normalization", "imagenet", "parity.normalization", "imagenet"),
    ],
)
def test_each_switch_is_set_by_itself(switch, value, key, seen):
    before, after = (compose("parity=caffe", "backbone=resnet50", *more) for more in ([], [f"parity.{switch}={value}"]))
    assert OmegaConf.select(after, key) == seen != OmegaConf.select(before, key)
    others = {name for name in before.parity if name != switch}
    assert all(before.parity[name] == after.parity[name] for name in others)


def test_the_switches_of_vgg():
    for switch, value, key, seen in (
        ("pool_size", 2, "backbone.pool_size", 2),
        ("pool5a", "false", "model.average_pool", False),
    ):
        after = compose("parity=caffe", "backbone=vgg16", "model=largefov", f"parity.{switch}={value}")
        assert OmegaConf.select(after, key) == seen
    # V2's ASPP nets have no pool5a, and no ResNet has
    assert "average_pool" not in compose("parity=caffe", "backbone=vgg16", "model=aspp_l").model
    assert compose("parity=caffe", "backbone=resnet50", "model=largefov").model.average_pool is False


@pytest.mark.parametrize("parity", ["caffe", "modern"])
def test_trained_weights_bring_their_normalisation_and_stride(parity):
    cfg = resolved(f"parity={parity}", "init=imagenet", "backbone=resnet101")
    assert cfg["parity"]["normalization"] == "imagenet" and cfg["backbone"]["stride_on"] == "3x3"
    assert cfg["backbone"]["frozen_norm"] is True and cfg["backbone"]["frozen_affine"] is (parity == "caffe")
    own = resolved(f"parity={parity}", "init=imagenet", "backbone=resnet101", "parity.stride_on=1x1")
    assert own["backbone"]["stride_on"] == "1x1"

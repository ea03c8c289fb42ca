"""Trunks and heads that do not fit, which a training finds before it begins."""

import pytest
import torch
from torch import nn

from deeplab_lit.models import ASPP, VGG16, DeepLab, MultiScaleInput
from deeplab_lit.models.dry_run import check_parts
from deeplab_lit.models.network import build_network
from deeplab_lit.training.build import build
from deeplab_lit.training.plan import make_plan
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of


class Trunk(nn.Module):
    """Features of 8 channels at stride 4, whatever it says."""

    def __init__(self, channels=8, output_stride=4, result=lambda x: x):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 8, 3, 2, 1))
        self.channels, self.output_stride, self.result = channels, output_stride, result

    def forward(self, image):
        return self.result(self.layers(image))


class Linear(nn.Module):
    """A head that takes features of one size."""

    def __init__(self, in_channels=8, num_classes=3, size=7):
        super().__init__()
        self.line = nn.Linear(in_channels * size * size, num_classes)

    def forward(self, x):
        return self.line(x.flatten(1))

    def new_parameters(self):
        return self.parameters()


@pytest.mark.parametrize(
    ("trunk", "head", "words"),
    [
        (
            Trunk(channels=16),
            ASPP(16, 3, rates=[1]),
            r"Trunk says channels=16, its features have 8: set self.channels = 8",
        ),
        (
            Trunk(output_stride=8),
            ASPP(8, 3, rates=[1]),
            r"output_stride=8, .* 97 x 97 are 25 x 25, a stride of about 4",
        ),
        (Trunk(output_stride=2), ASPP(8, 3, rates=[1]), r"output_stride=2, .* a stride of about 4"),
        (Trunk(result=lambda x: [x]), ASPP(8, 3, rates=[1]), "Trunk gives a list: its features are one tensor"),
        (Trunk(), Linear(), r"Linear does not take what backbone Trunk gives, 8 channels at stride 4: mat1 and mat2"),
        (Trunk(), ASPP(8, 4, rates=[1]), r"ASPP gives a tensor \(1, 4, 25, 25\): its scores are one tensor \(N, 3, h"),
    ],
)
def test_parts_that_do_not_fit_are_named(trunk, head, words):
    with pytest.raises(UserError, match=words):
        check_parts(DeepLab(trunk, head), 3)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_network_that_fits_stays_as_it_is(stride):
    for trunk in (Trunk(), VGG16(stride, pool_size=2, ceil_mode=True)):
        network = MultiScaleInput(DeepLab(trunk, ASPP(trunk.channels, 3, rates=[1])))
        network.network.head.eval()  # a part of it may be in another mode
        before = {name: value.clone() for name, value in network.state_dict().items()}
        modes, random = [module.training for module in network.modules()], torch.get_rng_state()
        check_parts(network, 3)
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        assert [module.training for module in network.modules()] == modes and torch.equal(torch.get_rng_state(), random)


class Nameless(Trunk):
    """A trunk without one of its attributes."""

    def __init__(self, without="channels"):
        super().__init__()
        delattr(self, without)


@pytest.mark.parametrize("name", ["channels", "output_stride"])
def test_a_trunk_has_channels_and_output_stride(name):
    spec = {
        "backbone": {"_target_": f"{__name__}.Nameless", "without": name},
        "model": {"_target_": "deeplab_lit.models.heads.ASPP", "rates": [1]},
        "scales": [1.0], "align_corners": True, "atrous": "auto",
    }  # fmt: skip
    with pytest.raises(UserError, match=f"backbone Nameless has no whole number {name} .*: set self.{name} in its"):
        build_network(spec, 3)


class Wrong(Trunk):
    """A trunk of a config that says too many channels."""

    def __init__(self):
        super().__init__(channels=16)


def test_a_training_ends_before_it_begins(tmp_path):
    words = ["data.train_images=24", "data.val_images=5", "max_steps=2", "crop_size=49", "num_workers=0"]
    config = config_of(*words, "trainer.accelerator=cpu", "trainer.precision=32-true", f"output={tmp_path}/runs")
    config.backbone = {"_target_": f"{__name__}.Wrong", "recipe": config.backbone["recipe"]}
    with pytest.raises(UserError, match="Wrong says channels=16"), build(make_plan(config), "typed"):
        pass
    assert not (tmp_path / "runs").exists()

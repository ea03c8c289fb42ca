"""One suite that every backbone and every model passes by being listed in conf/."""

import pytest
import torch
from omegaconf import OmegaConf

from deeplab_lit.config.paths import conf_folder
from deeplab_lit.models.network import build_network
from deeplab_lit.training.plan import network_spec
from tests.composing import config_of

BACKBONES = sorted(file.stem for file in (conf_folder() / "backbone").glob("*.yaml"))
MODELS = sorted(file.stem for file in (conf_folder() / "model").glob("*.yaml"))


def recipe(group, name):
    file = OmegaConf.load(conf_folder() / group / f"{name}.yaml")
    base = recipe(group, file.defaults[0]) if "defaults" in file else {}
    return OmegaConf.merge(base, file.get("recipe", {}))


PAIRS = [
    (backbone, model)
    for backbone in BACKBONES
    for model in MODELS
    if recipe("model", model).needs in (None, *recipe("backbone", backbone).offers)
]


# what a trunk must be told, and the papers' output stride where its own is another
TOLD = {"timm": ["backbone.name=resnet18"], "efficientnet_lite0": ["backbone.output_stride=8"]}


def network(*overrides, num_classes=21, parity="caffe"):
    overrides = [*TOLD.get(overrides[0].removeprefix("backbone="), []), *overrides]
    return build_network(
        network_spec(config_of("data=voc", "data.root=x", f"parity={parity}", *overrides)), num_classes
    )


def test_the_papers_pairs_are_all_there():
    vgg = {"largefov", "deeplab_4x4", "deeplab_4x4_r8", "deeplab_7x7", "aspp_s", "aspp_l", "msc_features"}
    assert vgg <= {model for backbone, model in PAIRS if backbone == "vgg16"}
    for depth in (18, 50, 101):
        found = {model for backbone, model in PAIRS if backbone == f"resnet{depth}"}
        assert {"baseline", "largefov", "aspp_s", "aspp_l"} == found


def _is_long(backbone, model):
    return backbone == "resnet50" or (backbone == "resnet101" and model != "aspp_l")


# ResNet-50 and, but for one pair, ResNet-101 have the layers of ResNet-18 and more of them
@pytest.mark.parametrize(
    ("backbone", "model"),
    [pytest.param(*pair, marks=pytest.mark.long if _is_long(*pair) else ()) for pair in PAIRS],
)
def test_pair(backbone, model):
    torch.manual_seed(0)
    # the width of fc6 and fc7 is a number among others, and 4,096 is slow
    narrow = ["model.hidden=64"] if backbone == "vgg16" else []
    net = network(f"backbone={backbone}", f"model={model}", *narrow, num_classes=5)
    image = torch.randn(2, 3, 33, 49)
    net.train()
    maps = net.supervised(image)
    assert [tuple(each.shape) for each in maps] == [(2, 5, 5, 7)]
    maps[0].square().mean().backward()
    first = next(iter(net.parameters()))
    assert first.grad is not None and first.grad.abs().sum() > 0
    new = {id(parameter) for parameter in net.new_parameters()}
    assert new and new <= {id(parameter) for parameter in net.parameters()}
    net.eval()
    with torch.no_grad():
        assert net.scores(image).shape == (2, 5, 33, 49)
        odd = net(torch.randn(1, 3, 70, 51))
    assert odd.shape[1] == 5 and abs(odd.shape[2] - 70 / 8) < 2 and abs(odd.shape[3] - 51 / 8) < 2


@pytest.mark.parametrize(
    ("backbone", "model"),
    [("vgg16", "largefov"), ("vgg16", "msc_features"), ("vgg16", "aspp_s"), ("resnet50", "aspp_l")],
)
def test_pairs_with_todays_habits(backbone, model):
    net = network(f"backbone={backbone}", f"model={model}", num_classes=5, parity="modern").eval()
    with torch.no_grad():
        for height, width in ((64, 96), (65, 97), (70, 51)):
            image = torch.randn(1, 3, height, width)
            assert net.scores(image).shape == (1, 5, height, width)
            assert abs(net(image).shape[2] - height / 8) < 2


@pytest.mark.parametrize(
    ("overrides", "millions"),
    [
        (["backbone=vgg16", "model=deeplab_7x7"], 134.3),
        (["backbone=vgg16", "model=deeplab_4x4"], 65.1),
        (["backbone=vgg16", "model=deeplab_4x4_r8"], 65.1),
        (["backbone=vgg16", "model=largefov"], 20.5),
    ],
)
def test_parameters_are_the_papers(overrides, millions):
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in network(*overrides).parameters())
    assert round(count / 1e6, 1) == millions


def test_resnet101_aspp_has_44_05_million_parameters():
    for frozen in ("true", "false"):
        with torch.device("meta"):
            net = network("backbone=resnet101", "model=aspp_l", f"backbone.frozen_norm={frozen}")
        assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6, 2) == 44.05


@pytest.mark.parametrize("backbone", ["vgg16", "resnet18", "resnet101"])
def test_map_sizes_are_the_papers(backbone):
    with torch.device("meta"):
        net = network(f"backbone={backbone}", "model=largefov").eval()
    for side, expected in ((321, 41), (241, 31), (161, 21), (513, 65)):
        found = net(torch.empty(1, 3, side, side, device="meta")).shape
        assert tuple(found[-2:]) == (expected, expected)


@pytest.mark.parametrize(
    ("model", "kernel", "rate", "field"),
    [
        ("deeplab_7x7", 7, 4, 224),
        ("deeplab_4x4", 4, 4, 128),
        ("deeplab_4x4_r8", 4, 8, 224),
        ("largefov", 3, 12, 224),
    ],
)
def test_field_of_view_of_fc6(model, kernel, rate, field):
    """The paper's column: the span of the taps, each of which stands for a 32-pixel cell of the undilated net."""
    with torch.device("meta"):
        conv = network("backbone=vgg16", f"model={model}").head.hidden.fc6
    assert conv.kernel_size == (kernel, kernel) and conv.dilation == (rate, rate)
    span = rate * (kernel - 1) * 8 + 32
    assert span == field
    features = torch.empty(1, conv.in_channels, 41, 41, device="meta")
    assert conv(features).shape[-2:] == (41, 41)


@pytest.mark.parametrize(("model", "rates"), [("aspp_s", [2, 4, 8, 12]), ("aspp_l", [6, 12, 18, 24])])
def test_aspp_sums_branches_at_the_published_rates(model, rates):
    head = network("backbone=resnet18", f"model={model}").head.eval()
    assert head.rates == rates
    features = torch.randn(1, 512, 41, 41)
    expected = sum(
        torch.nn.functional.conv2d(features, b.classifier.weight, b.classifier.bias, padding=r, dilation=r)
        for b, r in zip(head.branches, rates, strict=True)
    )
    torch.testing.assert_close(head(features), expected)


def test_aspp_on_vgg_has_fc6_fc7_fc8_in_each_branch():
    with torch.device("meta"):
        head = network("backbone=vgg16", "model=aspp_l").head
    shapes = [tuple(parameter.shape) for parameter in head.branches[0].parameters() if parameter.ndim == 4]
    assert shapes == [(1024, 512, 3, 3), (1024, 1024, 1, 1), (21, 1024, 1, 1)]


def test_multi_scale_features_equal_one_classifier_on_concatenated_features():
    """V1 concatenates five 128-channel maps to fc7 before one linear layer; a sum of linear layers is the same."""
    net = network("backbone=vgg16", "model=msc_features", "model.hidden=32").eval()
    image = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        features, taps = net.trunk.forward_taps(image)
        assert [tap.shape[1] for tap in taps] == [3, 64, 128, 256, 512]
        hidden = [net.head.main.hidden(net.head.main.pool5a(features))] + [
            branch[:-1](tap) for branch, tap in zip(net.head.taps, taps, strict=True)
        ]
        assert [tuple(each.shape[1:]) for each in hidden[1:]] == [(128, 9, 9)] * 5
        layers = [net.head.main.classifier] + [branch[-1] for branch in net.head.taps]
        weight, bias = torch.cat([layer.weight for layer in layers], 1), sum(layer.bias for layer in layers)
        expected = torch.nn.functional.conv2d(torch.cat(hidden, 1), weight, bias)
        torch.testing.assert_close(net(image), expected, atol=1e-5, rtol=1e-4)


def test_realisations_agree_on_a_whole_network():
    torch.manual_seed(0)
    holes = network("backbone=resnet18", "model=aspp_s").eval()
    interlaced = network("backbone=resnet18", "model=aspp_s", "atrous=interlace").eval()
    interlaced.load_state_dict(holes.state_dict())
    image = torch.randn(1, 3, 81, 75)
    with torch.no_grad():
        torch.testing.assert_close(holes(image), interlaced(image), atol=1e-5, rtol=1e-4)

"""State dicts of torchvision and of the common PyTorch DeepLab V2, against forward passes of their own."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import deeplab_lit
from deeplab_lit.config.schemas import CheckpointConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.initialize import initialize
from deeplab_lit.weights.read import read


def unit(inputs, outputs, kernel=1, stride=1, padding=0, dilation=1, relu=True):
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        bn=nn.BatchNorm2d(outputs, eps=1e-5),
    )
    if relu:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class Bottleneck(nn.Module):
    def __init__(self, inputs, outputs, stride, dilation, downsample):
        super().__init__()
        width = outputs // 4
        self.reduce = unit(inputs, width, 1, stride)
        self.conv3x3 = unit(width, width, 3, 1, dilation, dilation)
        self.increase = unit(width, outputs, 1, relu=False)
        self.shortcut = unit(inputs, outputs, 1, stride, relu=False) if downsample else nn.Identity()

    def forward(self, x):
        return F.relu(self.increase(self.conv3x3(self.reduce(x))) + self.shortcut(x))


class TheirDeepLab(nn.Sequential):
    """The other code base's module tree, by its published layers: layer1 is the stem, aspp has c0 to c3."""

    def __init__(self, counts, classes):
        stem = nn.Sequential(OrderedDict(conv1=unit(3, 64, 7, 2, 3), pool=nn.MaxPool2d(3, 2, 1, ceil_mode=True)))
        super().__init__(OrderedDict(layer1=stem))
        inputs = 64
        for number, (count, stride, dilation) in enumerate(zip(counts, (1, 2, 1, 1), (1, 1, 2, 4), strict=True)):
            outputs = 256 << number
            blocks = OrderedDict()
            for i in range(count):
                blocks[f"block{i + 1}"] = Bottleneck(inputs, outputs, stride if i == 0 else 1, dilation, i == 0)
                inputs = outputs
            self.add_module(f"layer{number + 2}", nn.Sequential(blocks))
        aspp = nn.Module()
        for i, rate in enumerate((6, 12, 18, 24)):
            aspp.add_module(f"c{i}", nn.Conv2d(2048, classes, 3, 1, rate, rate))
        aspp.forward = lambda x: sum(each(x) for each in aspp.children())
        self.add_module("aspp", aspp)


def randomised(network):
    torch.manual_seed(3)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.ndim == 1 and value.is_floating_point():
            value.uniform_(0.2, 0.7)
    return network.eval()


@pytest.fixture(scope="module")
def theirs():
    return randomised(TheirDeepLab((3, 4, 23, 3), 21))


def test_the_common_deeplab_v2_gives_its_own_outputs(tmp_path, theirs):
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save(state, tmp_path / "theirs.pth")
    trained = deeplab_lit.load(tmp_path / "theirs.pth")
    image = torch.randn(1, 3, 129, 113)
    with torch.no_grad():
        expected = theirs(image)
        torch.testing.assert_close(trained.network(image), expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-4)
        whole = F.interpolate(expected, size=(129, 113), mode="bilinear", align_corners=False)
        found = trained.network.scores(image)
        torch.testing.assert_close(found, whole, atol=1e-4 * whole.abs().max().item(), rtol=1e-4)
    assert trained.normalization == Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
    assert trained.labels == LabelSet.voc()
    # heads of few classes are one matrix product in "auto" alone
    assert all(layer.realisation == "auto" for layer in trained.network.modules() if hasattr(layer, "realisation"))


def test_trained_with_several_scales_it_fuses_their_maximum(tmp_path, theirs):
    torch.save({f"base.{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "msc.pth")
    network = deeplab_lit.load(tmp_path / "msc.pth").network
    assert network.scales == (1.0, 0.75, 0.5)
    image = torch.randn(1, 3, 128, 192)
    with torch.no_grad():
        maps = [theirs(image)]
        for scale in (0.5, 0.75):
            small = F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)
            maps.append(F.interpolate(theirs(small), size=maps[0].shape[2:], mode="bilinear", align_corners=False))
        expected = torch.stack(maps).amax(0)
        torch.testing.assert_close(network(image), expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_torchvisions_classifiers_are_starts(tmp_path, name):
    torch.manual_seed(0)
    classifier = randomised(getattr(torchvision.models, name)(weights=None))
    torch.save({"model": classifier.state_dict(), "epoch": 3}, tmp_path / "file")
    about = read(tmp_path / "file")["deeplab_lit"]
    assert about["source"] == f"torchvision's {name}" and about["normalization"]["bgr"] is False
    head = {"_target_": "deeplab_lit.models.heads.FieldOfView", "hidden": 1024 if name == "vgg16" else None}
    backbone = {**about["network"]["backbone"], "output_stride": 32}
    network = build_network({**about["network"], "backbone": backbone, "model": head}, 3).eval()
    initialize(network, CheckpointConfig(path=str(tmp_path / "file")), LabelSet(tuple("abc")), backbone)
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        children = dict(classifier.named_children())
        if name == "vgg16":
            expected = classifier.features(image)
            assert torch.equal(network.head.hidden.fc6.bias, classifier.classifier[0].bias[first_filters()])
        else:
            x = image
            for child in list(children)[:-2]:
                x = children[child](x)
            expected = x
        torch.testing.assert_close(network.trunk(image), expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-4)


def first_filters():
    draw = torch.Generator().manual_seed(0)
    return torch.randperm(4096, generator=draw)[:1024].sort().values


def test_safetensors_of_ours_and_of_others(tmp_path, theirs):
    from safetensors.torch import save_file

    from deeplab_lit.weights.write import save

    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    save(read(tmp_path / "theirs.pth"), tmp_path / "ours.safetensors")
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    image = torch.randn(1, 3, 65, 81)
    with torch.no_grad():
        theirs, *others = (
            deeplab_lit.load(tmp_path / name).network.scores(image)
            for name in ("theirs.pth", "ours.safetensors", "theirs.safetensors")
        )
    assert all(torch.equal(each, theirs) for each in others)
    content = (tmp_path / "ours.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read(tmp_path / "cut.safetensors")


def test_a_partial_load_is_refused_with_what_was_found(tmp_path, theirs):
    state = dict(theirs.state_dict())

    def refused(state, *words):
        torch.save(state, tmp_path / "odd.pth")
        with pytest.raises(UserError) as caught:
            read(tmp_path / "odd.pth")
        assert all(word in str(caught.value) for word in words), caught.value

    less = {name: value for name, value in state.items() if name != "layer4.block3.reduce.conv.weight"}
    refused(
        less,
        "nearest layout is the PyTorch DeepLab V2 with ResNet-101",
        "1 are missing (layer4.block3.reduce.conv.weight)",
    )
    refused({**state, "ema.decay": torch.zeros(1)}, "1 have no place (ema.decay)", "Nothing was loaded")
    other = {**state, "aspp.c1.weight": torch.zeros(19, 2048, 3, 3)}
    refused(other, "1 have another shape (aspp.c1.weight (19, 2048, 3, 3) for (21, 2048, 3, 3))")
    refused({"encoder.w": torch.zeros(2, 3)}, "begin with encoder.w (2, 3)", "No layout that is known")
    refused({"epoch": 3, "name": "x"}, "holds a dict with epoch, name, not tensors by name")
    refused([1, 2], "holds list, not tensors by name")

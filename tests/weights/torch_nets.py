"""Networks of other code bases in plain torch.nn, under the names of their published weights."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

RATES = (6, 12, 18, 24)


def randomised(network, forward=nn.Module.__call__):
    """The network with random weights, whose normalisations have the statistics of what they see.

    Otherwise the image is lost on the way through a hundred layers, and a wrong stride would not be noticed. It is in
    double precision, since single precision leaves a thousandth of the output to rounding.
    """
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = 1.0
    with torch.no_grad():
        forward(network.train(), torch.randn(2, 3, 65, 65))
    return network.eval().double()


def saved(state, path, prefix=""):
    """Save the tensors in single precision, as published files hold them. Returns the path."""
    torch.save(
        {prefix + name: value.float() if value.is_floating_point() else value for name, value in state.items()}, path
    )
    return path


def without_values(make):
    """Tensors of the names and shapes of a network, without memory for their values."""
    with torch.device("meta"):
        network = make()
    return {name: torch.zeros(()).expand(value.shape) for name, value in network.state_dict().items()}


def unit(inputs, outputs, kernel=1, stride=1, padding=0, dilation=1, relu=True):
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        bn=nn.BatchNorm2d(outputs, eps=1e-5),
    )
    if relu:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class UnitBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, dilation, downsample):
        super().__init__()
        width = outputs // 4
        self.reduce = unit(inputs, width, 1, stride)
        self.conv3x3 = unit(width, width, 3, 1, dilation, dilation)
        self.increase = unit(width, outputs, 1, relu=False)
        self.shortcut = unit(inputs, outputs, 1, stride, relu=False) if downsample else nn.Identity()

    def forward(self, x):
        return F.relu(self.increase(self.conv3x3(self.reduce(x))) + self.shortcut(x))


class UnitResNet(nn.Sequential):
    """layer1.conv1.conv.weight ... layer5.block3.increase.bn.bias: layer1 is the stem, units are conv and bn."""

    def __init__(self, counts=(3, 4, 23, 3)):
        stem = nn.Sequential(OrderedDict(conv1=unit(3, 64, 7, 2, 3), pool=nn.MaxPool2d(3, 2, 1, ceil_mode=True)))
        super().__init__(OrderedDict(layer1=stem))
        inputs = 64
        for number, (count, stride, dilation) in enumerate(zip(counts, (1, 2, 1, 1), (1, 1, 2, 4), strict=True)):
            outputs = 256 << number
            blocks = OrderedDict()
            for i in range(count):
                blocks[f"block{i + 1}"] = UnitBlock(inputs, outputs, stride if i == 0 else 1, dilation, i == 0)
                inputs = outputs
            self.add_module(f"layer{number + 2}", nn.Sequential(blocks))


def with_aspp(trunk, classes):
    """The trunk, then aspp.c0 to c3."""
    aspp = nn.Module()
    for i, rate in enumerate(RATES):
        aspp.add_module(f"c{i}", nn.Conv2d(2048, classes, 3, 1, rate, rate))
    aspp.forward = lambda x: sum(each(x) for each in aspp.children())
    return nn.Sequential(OrderedDict(**dict(trunk.named_children()), aspp=aspp))


def with_fc(trunk, classes):
    """The trunk, then fc, a convolution of 1x1."""
    return nn.Sequential(OrderedDict(**dict(trunk.named_children()), fc=nn.Conv2d(2048, classes, 1)))


class ListBlock(nn.Module):
    """A bottleneck under torchvision's names with the stride on the first 1x1."""

    def __init__(self, inputs, width, stride, dilation, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if downsample:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class Classifiers(nn.Module):
    """Four classifiers; ``early`` sums the first two alone, since its loop returns in its first turn."""

    def __init__(self, inputs, classes, early):
        super().__init__()
        self.conv2d_list = nn.ModuleList(nn.Conv2d(inputs, classes, 3, 1, rate, rate) for rate in RATES)
        self.early = early

    def forward(self, x):
        summed = self.conv2d_list[:2] if self.early else self.conv2d_list
        return sum(each(x) for each in summed)


class ListResNet(nn.Module):
    """conv1.weight ... layer4.2.bn3.bias, then layer5; or layer5 on layer3's features and layer6, the main one."""

    def __init__(self, classes=None, early=False, multi=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        stages = ((64, 3, 1, 1), (128, 4, 2, 1), (256, 23, 1, 2), (512, 3, 1, 4))
        for number, (width, count, stride, dilation) in enumerate(stages, 1):
            blocks = [ListBlock(inputs, width, stride, dilation, True)]
            blocks += [ListBlock(4 * width, width, 1, dilation, False) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = 4 * width
        if multi:
            self.layer5 = Classifiers(1024, classes, early)
            self.layer6 = Classifiers(2048, classes, early)
        elif classes:
            self.layer5 = Classifiers(2048, classes, early)

    def features(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1, ceil_mode=True)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x):
        return (self.layer6 if hasattr(self, "layer6") else self.layer5)(self.features(x))


class ThreeScales(nn.Module):
    """``Scale.`` at 1, 0.75 and 0.5 of its input, corners aligned, and their maximum."""

    def __init__(self, network):
        super().__init__()
        self.Scale = network

    def forward(self, x):
        maps = [self.Scale(x)]
        for factor in (0.75, 0.5):
            size = [int(side * factor) + 1 for side in x.shape[2:]]
            small = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            maps.append(F.interpolate(self.Scale(small), maps[0].shape[2:], mode="bilinear", align_corners=True))
        return torch.stack(maps).amax(0)

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deeplab_lit.models.atrous import AtrousConv2d, dilate, layer_strides
from deeplab_lit.models.backbones import VGG16, ResNet


def holes_by_hand(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The definition: zeros between the filter taps, then an ordinary convolution."""
    k, (r, _) = conv.kernel_size[0], conv.dilation
    wide = torch.zeros(*conv.weight.shape[:2], r * (k - 1) + 1, r * (k - 1) + 1, dtype=x.dtype)
    wide[:, :, ::r, ::r] = conv.weight
    return F.conv2d(x, wide, conv.bias, padding=conv.padding, groups=conv.groups)


@given(
    rate=st.integers(1, 7),
    kernel=st.sampled_from([1, 2, 3, 4, 5]),
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    groups=st.sampled_from([1, 2, 4]),
    padding=st.integers(0, 14),
)
@settings(max_examples=120, deadline=None)
def test_both_realisations_are_the_definition(rate, kernel, height, width, groups, padding):
    if min(height, width) + 2 * padding <= rate * (kernel - 1):
        return
    torch.manual_seed(0)
    conv = AtrousConv2d(4, 4, kernel, padding=padding, dilation=rate, groups=groups).double()
    x = torch.randn(2, 4, height, width, dtype=torch.float64)
    expected = holes_by_hand(conv, x)
    found = {}
    for realisation in ("holes", "interlace"):
        conv.realisation = realisation
        own = x.clone().requires_grad_()
        y = conv(own)
        assert y.shape == expected.shape
        torch.testing.assert_close(y, expected)
        found[realisation] = torch.autograd.grad(y.square().sum(), [own, conv.weight, conv.bias])
    for a, b in zip(*found.values(), strict=True):
        torch.testing.assert_close(a, b)


def test_interlacing_really_runs_without_holes(monkeypatch):
    conv = AtrousConv2d(2, 2, 3, padding=4, dilation=4)
    conv.realisation = "interlace"
    seen, real = [], F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *a, **k: seen.append(k.get("dilation", 1)) or real(*a, **k))
    conv(torch.randn(1, 2, 9, 9))
    assert seen == [1]


TRUNKS = {
    "resnet18": lambda: nn.Sequential(*list(torchvision.models.resnet18(weights=None).children())[:-2]),
    "resnet50": lambda: nn.Sequential(*list(torchvision.models.resnet50(weights=None).children())[:-2]),
    "vgg16, 2x2 pools": lambda: torchvision.models.vgg16(weights=None).features,
    "vgg16, 3x3 pools": lambda: VGG16(output_stride=32).features,
    "patches": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 7, padding=3), nn.Conv2d(8, 8, 2, stride=2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Conv2d(8, 4, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("output_stride", [4, 8, 16])
def test_dilated_trunk_agrees_with_the_original_wherever_that_has_a_value(name, output_stride):
    torch.manual_seed(0)
    original = TRUNKS[name]().double().eval()
    x = torch.randn(1, 3, 97 if name != "vgg16, 2x2 pools" and name != "patches" else 96, 64, dtype=torch.float64)
    with torch.no_grad():
        coarse = original(x)
        native = max(after for _, after in layer_strides(original).values())
        dense = dilate(original, output_stride)(x)
    step = max(1, native // output_stride)
    assert dense.shape[-1] > coarse.shape[-1] or step == 1
    torch.testing.assert_close(dense[..., ::step, ::step][..., : coarse.shape[-2], : coarse.shape[-1]], coarse)


@pytest.mark.parametrize("depth", [50, 101])
def test_dilations_are_torchvisions_where_it_has_them(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")(
        weights=None, replace_stride_with_dilation=[False, True, True]
    )
    ours = ResNet(depth, output_stride=8, stride_on="3x3", ceil_mode=False)
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    for name, layer in theirs.named_modules():
        if isinstance(layer, nn.Conv2d):
            mine = ours.get_submodule(name)
            assert (mine.stride, mine.dilation, mine.padding) == (
                layer.stride,
                layer.dilation,
                layer.padding,
            ), name
    x = torch.randn(1, 3, 65, 65)
    trunk = nn.Sequential(*list(theirs.children())[:-2]).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), trunk(x))


def test_the_stride_sits_where_the_released_nets_have_it():
    net = ResNet(50, output_stride=32)
    assert net.layer3[0].conv1.stride == (2, 2) and net.layer3[0].conv2.stride == (1, 1)
    dilations = {name: layer.dilation[0] for name, layer in ResNet(101).named_modules() if isinstance(layer, nn.Conv2d)}
    assert {rate for name, rate in dilations.items() if "layer3" in name and "conv2" in name} == {2}
    assert {rate for name, rate in dilations.items() if "layer4" in name and "conv2" in name} == {4}


def test_vgg_has_holes_in_conv5_and_none_in_its_pools():
    features = VGG16().features
    rates = [layer.dilation[0] for layer in features if isinstance(layer, nn.Conv2d)]
    assert rates == [1] * 10 + [2] * 3
    pools = [layer for layer in features if isinstance(layer, nn.MaxPool2d)]
    assert [pool.stride if isinstance(pool.stride, int) else pool.stride[0] for pool in pools] == [
        2,
        2,
        2,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("trunk", "stride", "words"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), 6, "power of two"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 2, stride=2, padding=1), nn.Conv2d(4, 4, 3, padding=1)),
            1,
            "'0'.*even",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding="same")), 1, "padding='same'"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.AvgPool2d(3, 1, 1, divisor_override=2)), 1, "average pooling '1'"),
    ],
)
def test_what_cannot_have_holes_is_refused_by_name(trunk, stride, words):
    with pytest.raises(ValueError, match=words):
        dilate(trunk, stride)

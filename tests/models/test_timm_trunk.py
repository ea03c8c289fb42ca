"""Trunks of timm: brought to an output stride by this library, compared with timm where it can do that itself."""

import pytest
import timm
import torch
from torch import nn

from deeplab_lit.models import dilate
from deeplab_lit.models.timm_trunk import TimmTrunk
from deeplab_lit.utils.errors import UserError

FAMILIES = [
    "resnet18", "resnet50d", "resnext50_32x4d", "regnety_002", "efficientnet_b0", "tf_efficientnet_lite0",
    "mobilenetv3_small_100", "convnext_atto", "densenet121", "vgg11_bn",
]  # fmt: skip
"""The main families, the smallest of each."""
TIMM_CAN = [
    "resnet18",
    "resnet50d",
    "resnext50_32x4d",
    "regnety_002",
    "efficientnet_b0",
    "convnext_atto",
]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", FAMILIES)
def test_output_stride_holds(name, output_stride):
    trunk = TimmTrunk(name, output_stride).eval().to("meta")
    features = trunk(torch.empty(2, 3, 96, 128, device="meta"))
    assert features.shape == (2, trunk.channels, 96 // output_stride, 128 // output_stride)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_reach_the_first_layer(name):
    torch.manual_seed(0)
    trunk = TimmTrunk(name, 16).eval()
    trunk(torch.randn(1, 3, 64, 96)).square().mean().backward()
    first = next(iter(trunk.parameters()))
    assert first.grad is not None and first.grad.abs().sum() > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_every_kth_position_is_the_original_output(name):
    """What holes are for: the dense output agrees with the native one wherever that has a value."""
    torch.manual_seed(0)
    native = TimmTrunk(name, 32).eval()
    dense = TimmTrunk(name, 8).eval()
    dense.load_state_dict(native.state_dict())
    for trunk in (native, dense):
        without_pooling_over_the_whole_map(trunk)
    image = torch.randn(1, 3, 161, 161) if name in SAME_PADDED else torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected, found = native(image), dense(image)[:, :, ::4, ::4]
    inner = slice(1, -1)  # at the rim the nets pad where the dense one sees map
    found = found[..., : expected.shape[2], : expected.shape[3]]
    # random weights make the maps of some nets very small
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(found[..., inner, inner] / scale, expected[..., inner, inner] / scale, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_batch_normalisation_that_is_held_computes_what_it_did(name):
    """timm's own kinds of batch normalisation hold the activation too."""
    torch.manual_seed(0)
    trained = TimmTrunk(name, 16).eval()
    for key, value in trained.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
    frozen = TimmTrunk(name, 16, frozen_norm=True)
    frozen.load_state_dict(trained.state_dict())
    frozen.train()
    drops = [layer for layer in frozen.modules() if "Drop" in type(layer).__name__]
    for layer in drops:
        layer.eval()
    image = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        expected = trained(image)
        torch.testing.assert_close(frozen(image) / expected.abs().max(), expected / expected.abs().max())
    held = [layer for layer in frozen.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert not any(layer.training or layer.weight.requires_grad for layer in held)


def without_pooling_over_the_whole_map(trunk):
    """A mean over all positions (squeeze and excitation) is another one where there are more positions."""
    for layer in trunk.modules():
        if type(layer).__name__ in ("SqueezeExcite", "SEModule"):
            layer.forward = lambda x: x


SAME_PADDED = ["tf_efficientnet_lite0"]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", TIMM_CAN)
def test_strides_and_dilations_are_timms_own(name, output_stride):
    theirs = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", output_stride=output_stride)
    ours = TimmTrunk(name, output_stride).network
    layers = {key: layer for key, layer in ours.named_modules() if isinstance(layer, nn.Conv2d)}
    for key, layer in theirs.named_modules():
        if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1:
            assert layers[key].stride == layer.stride, key
            # timm gives even kernels, whose stride it takes away, no holes of their own
            assert layers[key].dilation == layer.dilation or layer.kernel_size[0] % 2 == 0, key


def test_what_cannot_be_a_trunk_is_refused_with_the_reason():
    for name, words in (
        ("vit_tiny_patch16_224", "does not take an image of 256 x 256|gives no map of features"),
        ("swin_tiny_patch4_window7_224", "does not take an image of 256 x 256|gives no map of features"),
        ("resnet5", "is no network of timm .* Did you mean 'resnet50'"),
    ):
        with pytest.raises(UserError, match=words):
            TimmTrunk(name, 8)
    with pytest.raises(UserError, match="has output stride 32: backbone.output_stride is at most that, not 64"):
        TimmTrunk("resnet18", 64)


def test_normalisation_and_weights_are_timms(tmp_path):
    norm = TimmTrunk.input_normalization({"name": "tf_efficientnet_lite0"})
    assert norm == {"mean": [127.5] * 3, "std": [127.5] * 3}
    torch.manual_seed(1)
    trained = timm.create_model("resnet18", pretrained=False)
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    trunk = TimmTrunk("resnet18", 32)
    trunk.load_state_dict(trunk.pretrained_weights(tmp_path / "weights.pth"), strict=False)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(trunk.eval()(image), trained.eval().forward_features(image))
    with pytest.raises(UserError, match="does not exist"):
        trunk.pretrained_weights(tmp_path / "none.pth")
    with pytest.raises(UserError, match=r"weights.pth holds no weights of timm's resnet50d: Error"):
        TimmTrunk("resnet50d", 32).pretrained_weights(tmp_path / "weights.pth")


def test_average_pooling_with_holes_is_the_mean_of_its_taps():
    x = torch.arange(2 * 49.0).view(1, 2, 7, 7)
    net = nn.Sequential(nn.Conv2d(3, 2, 1, stride=2), nn.AvgPool2d(2, 2), nn.AvgPool2d(2, 2))
    dilate(net, 2)
    first, second = net[1](x), net[2](x)
    assert first.shape == second.shape == x.shape
    assert torch.equal(first[0, :, :6, :6], torch.nn.functional.avg_pool2d(x, 2, 1)[0])
    assert second[0, 0, 1, 2] == (x[0, 0, 1, 2] + x[0, 0, 3, 2] + x[0, 0, 1, 4] + x[0, 0, 3, 4]) / 4
    assert second[0, 0, 6, 6] == x[0, 0, 6, 6]  # the other taps lie outside

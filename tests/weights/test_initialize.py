"""Trained weights from elsewhere: surgery on VGG-16, ResNets, checkpoints, and what the files may be."""

import pytest
import torch
import torchvision

from deeplab_lit.config.schemas import CheckpointConfig, ImageNetConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models import ASPP, VGG16, DeepLab, FieldOfView, MultiScaleFeatures, MultiScaleInput, ResNet
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import describe
from deeplab_lit.weights.from_imagenet import convert_fc, start_from_imagenet
from deeplab_lit.weights.initialize import initialize
from deeplab_lit.weights.read import read

LABELS = LabelSet(("background", "cat", "dog"))


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    net = torchvision.models.vgg16(weights=None).eval()
    for layer in (net.classifier[0], net.classifier[3]):
        torch.nn.init.uniform_(layer.bias)  # torchvision draws none
    return net


def test_7x7_and_4096_equal_torchvisions_classifier_slid_over_the_image(vgg):
    """At the trunk's native stride the network is the classifier at every position."""
    network = DeepLab(
        VGG16(output_stride=32, pool_size=2, ceil_mode=False), FieldOfView(512, 3, 7, 1, hidden=4096)
    ).eval()
    report = start_from_imagenet(network, vgg.state_dict(), "vgg16")
    image = torch.randn(1, 3, 320, 288)
    with torch.no_grad():
        found = network.head.hidden(network.trunk(image))
        assert found.shape == (1, 4096, 10, 9)
        # positions whose 7x7 window lies inside the map; the image patch behind one is its 224 pixels
        features = vgg.features(image)
        for row, column in ((3, 3), (4, 5), (6, 4)):
            window = features[:, :, row - 3 : row + 4, column - 3 : column + 4]
            expected = vgg.classifier[:5](window.flatten(1))
            torch.testing.assert_close(found[:, :, row, column], expected, atol=1e-4, rtol=1e-4)
    assert set(report.new) == {"head.classifier.weight", "head.classifier.bias"}
    assert set(report.left) == {"classifier.6.weight", "classifier.6.bias"}


def test_at_stride_8_the_holes_skip_to_the_same_taps(vgg):
    """fc6 at rate 4 on the dense map reads what fc6 reads on the coarse one."""
    fc = convert_fc(vgg.state_dict(), 7, 4096)
    head = FieldOfView(512, 3, 7, 4, hidden=4096).eval()
    head.hidden.fc6.weight.data, head.hidden.fc6.bias.data = fc.fc6_weight, fc.fc6_bias
    dense = torch.randn(1, 512, 40, 40)
    with torch.no_grad():
        expected = vgg.classifier[0](dense[:, :, 1:28:4, 2:29:4].flatten(1))
        found = head.hidden.fc6(dense)[:, :, 1 + 12, 2 + 12]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kernel", "taps"), [(3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, list(range(7))), (1, [3])])
@pytest.mark.parametrize("surgery", ["decimation", "subset"])
def test_the_taps_and_filters_that_survive_are_unchanged(vgg, kernel, taps, surgery):
    state = vgg.state_dict()
    fc = convert_fc(state, kernel, 1024, surgery, seed=3)
    fc6, fc7 = state["classifier.0.weight"].view(4096, 512, 7, 7), state["classifier.3.weight"]
    assert fc.fc6_weight.shape == (1024, 512, kernel, kernel) and fc.fc7_weight.shape == (1024, 1024, 1, 1)
    # which filters they are, told by their biases, which are all different
    first = [int((state["classifier.0.bias"] == bias).nonzero()) for bias in fc.fc6_bias]
    second = [int((state["classifier.3.bias"] == bias).nonzero()) for bias in fc.fc7_bias]
    assert first == sorted(set(first)) and second == sorted(set(second)) and len(first) == len(second) == 1024
    if surgery == "decimation":
        assert first == list(range(0, 4096, 4))
    for number in (0, 511, 1023):
        for i, row in enumerate(taps):
            for j, column in enumerate(taps):
                assert torch.equal(fc.fc6_weight[number, :, i, j], fc6[first[number], :, row, column])
        assert torch.equal(fc.fc7_weight[number, :, 0, 0], fc7[second[number]][first])


def test_the_random_subset_follows_its_seed(vgg):
    state = vgg.state_dict()
    a, b, c = (convert_fc(state, 3, 1024, "subset", seed) for seed in (0, 0, 1))
    assert torch.equal(a.fc6_bias, b.fc6_bias) and not torch.equal(a.fc6_bias, c.fc6_bias)


def test_averages_stand_for_their_groups(vgg):
    state = vgg.state_dict()
    fc = convert_fc(state, 3, 1024, "average")
    torch.testing.assert_close(fc.fc6_bias, state["classifier.0.bias"].view(1024, 4).mean(1))
    # a tap is the mean of the three by three taps around it, of four filters
    fc6 = state["classifier.0.weight"].view(1024, 4, 512, 7, 7)
    torch.testing.assert_close(fc.fc6_weight[5, :, 0, 2], fc6[5, :, :, 0:3, 4:7].mean((0, 2, 3)))
    torch.testing.assert_close(fc.fc6_weight[9, :, 1, 1], fc6[9, :, :, 2:5, 2:5].mean((0, 2, 3)))
    # channels that stand for four carry the weights of all four: where the four agree, the answer is the same
    shared = torch.randn(1024)
    expected = state["classifier.3.weight"] @ shared.repeat_interleave(4)
    torch.testing.assert_close(fc.fc7_weight[..., 0, 0] @ shared, expected.view(1024, 4).mean(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("surgery", ["decimation", "subset", "average"])
def test_all_surgeries_leave_7x7_and_4096_alone(vgg, surgery):
    state = vgg.state_dict()
    fc = convert_fc(state, 7, 4096, surgery)
    assert torch.equal(fc.fc6_weight.flatten(1), state["classifier.0.weight"])
    assert torch.equal(fc.fc7_weight.flatten(1), state["classifier.3.weight"])


def test_every_head_of_vgg_is_filled(vgg):
    trunk = VGG16()
    aspp = DeepLab(trunk, ASPP(512, 3, hidden=1024))
    report = start_from_imagenet(aspp, vgg.state_dict(), "vgg16")
    assert {name.rsplit(".", 2)[-2] for name in report.new} == {"classifier"}
    biases = [branch.hidden.fc6.bias for branch in aspp.head.branches]
    assert not torch.equal(biases[0], biases[1])  # each branch keeps filters of its own
    msc = DeepLab(trunk, MultiScaleFeatures(512, 3, trunk.tap_channels, [8, 8, 4, 2, 1]))
    report = start_from_imagenet(msc, vgg.state_dict(), "vgg16")
    assert {".".join(name.split(".")[:2]) for name in report.new} == {"head.main", "head.taps"}
    assert "head.main.hidden.fc6.weight" in report.taken
    with pytest.raises(UserError, match="5000 cannot be cut out|the width divides 4096"):
        convert_fc(vgg.state_dict(), 3, 1000)
    with pytest.raises(UserError, match="init.fc='sum' is not known"):
        convert_fc(vgg.state_dict(), 3, 1024, "sum")


def test_resnets_take_torchvisions_trunk(tmp_path):
    torch.manual_seed(1)
    theirs = torchvision.models.resnet18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    network = DeepLab(ResNet(18, output_stride=32, ceil_mode=False), FieldOfView(512, 3, 1, 1)).eval()
    init = ImageNetConfig(
        weights="IMAGENET1K_V1", path=str(tmp_path / "resnet18.pth"), fc="subset", fc_seed=0, normalization="imagenet",
        stride_on="3x3",
    )  # fmt: skip
    (line,) = initialize(network, init, LABELS, {})
    assert "taken: trunk (100)" in line and "new: head.classifier (2)" in line and "left: fc (2)" in line
    image = torch.randn(1, 3, 97, 65)
    with torch.no_grad():
        features = torch.nn.Sequential(*list(theirs.children())[:-2])(image)
        torch.testing.assert_close(network.trunk(image), features)
    other = DeepLab(ResNet(50), FieldOfView(2048, 3, 1, 1))
    with pytest.raises(UserError, match="is of another network"):
        initialize(other, init, LABELS, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist: give torchvision's file for resnet18"),
        (b"garbage", "cannot be read as weights"),
        ({"epoch": 3}, "holds no plain state dict"),
    ],
)
def test_weight_files_that_are_none(tmp_path, content, words):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save(content, path)
    init = ImageNetConfig(
        weights="IMAGENET1K_V1", path=str(path), fc="subset", fc_seed=0, normalization="imagenet", stride_on="3x3"
    )
    with pytest.raises(UserError, match=words):
        initialize(DeepLab(ResNet(18), FieldOfView(512, 3, 1, 1)), init, LABELS, {})
    init.weights, init.path = "IMAGENET", None
    with pytest.raises(UserError, match="init.weights='IMAGENET': for resnet18 there are IMAGENET1K_V1"):
        initialize(DeepLab(ResNet(18), FieldOfView(512, 3, 1, 1)), init, LABELS, {})


def test_without_internet_it_says_which_file_to_put_where(tmp_path, monkeypatch):
    import urllib.request

    def no_network(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    init = ImageNetConfig(
        weights="IMAGENET1K_V1", path=None, fc="subset", fc_seed=0, normalization="imagenet", stride_on="3x3"
    )
    with pytest.raises(UserError) as caught:
        initialize(DeepLab(ResNet(18), FieldOfView(512, 3, 1, 1)), init, LABELS, {})
    text = str(caught.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in text and "init.path=FILE" in text
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in text


SPEC = {
    "backbone": {"_target_": "deeplab_lit.models.backbones.ResNet", "depth": 18, "stride_on": "3x3"},
    "model": {"_target_": "deeplab_lit.models.heads.ASPP", "rates": [1, 2]},
    "scales": [1.0],
    "align_corners": True,
    "atrous": "holes",
}


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(2)
    network = build_network({**SPEC, "scales": [0.5, 1.0]}, 3)
    normalization = Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=True)
    content = {
        "state_dict": {f"network.{name}": value for name, value in network.state_dict().items()},
        "global_step": 5,
        "deeplab_lit": describe(SPEC, LABELS, normalization),
    }
    torch.save(content, tmp_path / "coco.ckpt")
    return tmp_path / "coco.ckpt", network


def test_a_checkpoint_with_the_same_classes_is_taken_whole(checkpoint):
    path, theirs = checkpoint
    network = build_network(SPEC, 3)
    (line,) = initialize(network, CheckpointConfig(path=str(path)), LABELS, SPEC["backbone"])
    assert "new: nothing; left: nothing" in line
    for name, value in theirs.network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.parametrize("names", [("background", "cat"), ("background", "cat", "cow")])
def test_other_classes_replace_the_classifier(checkpoint, names):
    path, theirs = checkpoint
    assert isinstance(theirs, MultiScaleInput)
    network = build_network({**SPEC, "scales": [0.5, 0.75, 1.0]}, len(names))
    fresh = network.network.head.branches[0].classifier.weight.clone()
    (line,) = initialize(network, CheckpointConfig(path=str(path)), LabelSet(names), SPEC["backbone"])
    assert "new: head.branches.0.classifier (2), head.branches.1.classifier (2)" in line
    assert "left: head.branches.0.classifier (2), head.branches.1.classifier (2)" in line and "taken: trunk" in line
    assert torch.equal(network.network.head.branches[0].classifier.weight, fresh)
    assert torch.equal(network.network.trunk.conv1.weight, theirs.network.trunk.conv1.weight)


def test_another_head_is_new_and_another_trunk_refused(checkpoint):
    path, _ = checkpoint
    network = build_network({**SPEC, "model": {"_target_": "deeplab_lit.models.heads.FieldOfView"}}, 3)
    backbone = {**SPEC["backbone"], "stride_on": "1x1"}
    first, note = initialize(network, CheckpointConfig(path=str(path)), LABELS, backbone)
    assert "new: head.classifier (2); left: head.branches.0.classifier (2)" in first
    assert note == "note: those weights were trained with backbone.stride_on=3x3, not 1x1"
    vgg = build_network({**SPEC, "backbone": {"_target_": "deeplab_lit.models.backbones.VGG16"}}, 3)
    with pytest.raises(UserError, match="coco.ckpt is of another network: it has no 'trunk.features.0.weight'"):
        initialize(vgg, CheckpointConfig(path=str(path)), LABELS, {})
    deeper = build_network({**SPEC, "backbone": {**SPEC["backbone"], "depth": 34}}, 3)
    with pytest.raises(UserError, match="is of another network"):
        initialize(deeper, CheckpointConfig(path=str(path)), LABELS, {})


def test_the_normalisation_lies_in_the_checkpoint(checkpoint):
    path, _ = checkpoint
    chosen = Normalization.chosen(read(path)["deeplab_lit"]["normalization"])
    assert chosen == Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=True)
    with pytest.raises(UserError, match="normalization='caffe': choose imagenet, bgr_bytes"):
        Normalization.chosen("caffe")

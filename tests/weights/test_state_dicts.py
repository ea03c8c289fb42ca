"""State dicts of torchvision and of DeepLab in PyTorch, against forward passes of their own."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from tests.weights.torch_nets import ListResNet, ThreeScales, UnitResNet, randomised, saved, with_aspp, with_fc

import deeplab_lit
from deeplab_lit.config.schemas import CheckpointConfig
from deeplab_lit.data.coco import coco91
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.initialize import initialize
from deeplab_lit.weights.read import read


def agrees(ours, theirs, image, within=1e-6):
    """The outputs are equal to a millionth of their standard deviation."""
    with torch.no_grad():
        found, expected = ours(image.double()), theirs(image.double())
        tolerance = within * expected.std().item()
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=within, check_dtype=False)


def loaded(path, **options):
    """What is loaded, with its network in double precision."""
    trained = deeplab_lit.load(path, **options)
    trained.network.double()
    return trained


def resized(network, align_corners):
    """The network's scores at the size of its image."""
    return lambda image: F.interpolate(network(image), image.shape[2:], mode="bilinear", align_corners=align_corners)


@pytest.fixture(scope="module")
def theirs():
    return randomised(with_aspp(UnitResNet(), 21))


def test_the_common_deeplab_v2_gives_its_own_outputs(tmp_path, theirs):
    trained = loaded(saved(theirs.state_dict(), tmp_path / "theirs.pth", "module."))
    image = torch.randn(1, 3, 129, 113)
    agrees(trained.network, theirs, image)
    # scores are resized in single precision
    agrees(trained.network.scores, resized(theirs, align_corners=False), image, within=1e-5)
    assert trained.normalization == Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
    assert trained.labels == LabelSet.voc()
    # heads of few classes are one matrix product in "auto" alone
    assert all(layer.realisation == "auto" for layer in trained.network.modules() if hasattr(layer, "realisation"))


def test_trained_with_several_scales_it_fuses_their_maximum(tmp_path, theirs):
    network = loaded(saved(theirs.state_dict(), tmp_path / "msc.pth", "base.")).network
    assert network.scales == (1.0, 0.75, 0.5)

    def at_three_scales(image):
        maps = [theirs(image)]
        for scale in (0.5, 0.75):
            small = F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)
            maps.append(F.interpolate(theirs(small), size=maps[0].shape[2:], mode="bilinear", align_corners=False))
        return torch.stack(maps).amax(0)

    agrees(network, at_three_scales, torch.randn(1, 3, 128, 192))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_torchvisions_classifiers_are_starts(tmp_path, name):
    torch.manual_seed(0)
    classifier = randomised(getattr(torchvision.models, name)(weights=None))
    torch.save({"model": classifier.float().state_dict(), "epoch": 3}, tmp_path / "file")
    classifier.double()
    about = read(tmp_path / "file")["deeplab_lit"]
    assert about["source"] == f"torchvision's {name}" and about["normalization"]["bgr"] is False
    head = {"_target_": "deeplab_lit.models.heads.FieldOfView", "hidden": 1024 if name == "vgg16" else None}
    backbone = {**about["network"]["backbone"], "output_stride": 32}
    network = build_network({**about["network"], "backbone": backbone, "model": head}, 3).eval()
    initialize(network.double(), CheckpointConfig(path=str(tmp_path / "file")), LabelSet(tuple("abc")), backbone)
    image = torch.randn(1, 3, 96, 128)
    if name == "vgg16":
        agrees(network.trunk, classifier.features, image)
        assert torch.equal(network.head.hidden.fc6.bias, classifier.classifier[0].bias[first_filters()])
    else:
        agrees(network.trunk, torch.nn.Sequential(*list(classifier.children())[:-2]), image)


def first_filters():
    draw = torch.Generator().manual_seed(0)
    return torch.randperm(4096, generator=draw)[:1024].sort().values


def test_safetensors_of_ours_and_of_others(tmp_path, theirs):
    from safetensors.torch import save_file

    from deeplab_lit.weights.write import save

    save(read(saved(theirs.state_dict(), tmp_path / "theirs.pth")), tmp_path / "ours.safetensors")
    save_file(torch.load(tmp_path / "theirs.pth"), tmp_path / "theirs.safetensors")
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


# ---- starts and networks of weakly supervised segmentation


def started(path, backbone=None, **init):
    """A new network of three classes on the trunk that the file describes, and what was said of its weights."""
    spec = read(path, init.get("rates"))["deeplab_lit"]["network"]
    backbone = {**spec["backbone"], **(backbone or {})}
    head = {"_target_": "deeplab_lit.models.heads.ASPP", "rates": [6, 12, 18, 24]}
    network = build_network({**spec, "scales": [1.0], "backbone": backbone, "model": head}, 3).eval()
    lines = initialize(network.double(), CheckpointConfig(path=str(path), **init), LabelSet(tuple("abc")), backbone)
    return network, "\n".join(lines)


@pytest.fixture(scope="module")
def unit_trunk():
    return randomised(UnitResNet())


@pytest.fixture(scope="module")
def list_trunk():
    """DeepLab-ResNet without classifiers, whose tensors the networks of the tests share."""
    return randomised(ListResNet(), ListResNet.features)


def on(trunk, network):
    """The network with a trunk's weights, and random ones elsewhere."""
    network.load_state_dict(trunk.state_dict(), strict=False)
    return network.eval().double()


def test_the_coco_start_scores_91_classes(tmp_path, unit_trunk):
    theirs = with_fc(unit_trunk, 91).double()
    trained = loaded(saved(theirs.state_dict(), tmp_path / "coco.pth", "module."))
    agrees(trained.network, theirs, torch.randn(1, 3, 65, 81))
    assert trained.labels == coco91() and trained.normalization.bgr
    network, said = started(tmp_path / "coco.pth")
    agrees(network.trunk, unit_trunk, torch.randn(1, 3, 65, 65))
    assert "taken: trunk (520); new: head.branches.0.classifier (2)" in said and "left: head.classifier (2)" in said


def test_the_imagenet_start_is_no_classifier_of_pixels(tmp_path, unit_trunk):
    saved(with_fc(unit_trunk, 1000).state_dict(), tmp_path / "imagenet.pth")
    with pytest.raises(UserError, match="ImageNet ResNet-101 .* no classifier of pixels: train one from it with init="):
        deeplab_lit.load(tmp_path / "imagenet.pth")
    network, said = started(tmp_path / "imagenet.pth")
    agrees(network.trunk, unit_trunk, torch.randn(1, 3, 65, 65))
    assert "note: fc was left: its 1,000 classes are those of ImageNet's images" in said


def test_the_multi_scale_network_of_four_rates(tmp_path, list_trunk):
    theirs = ThreeScales(on(list_trunk, ListResNet(21)))
    trained = loaded(saved(theirs.state_dict(), tmp_path / "msc.pth"))
    assert trained.network.scales == (1.0, 0.75, 0.5) and trained.labels == LabelSet.voc() and trained.normalization.bgr
    agrees(trained.network, theirs, torch.randn(1, 3, 65, 97))
    agrees(trained.network.scores, resized(theirs, align_corners=True), torch.randn(1, 3, 65, 97), within=1e-5)


@pytest.mark.parametrize("rates", [[6, 12], (6, 12, 18, 24)])
def test_the_user_says_whether_two_or_four_classifiers_are_summed(tmp_path, list_trunk, rates):
    theirs = on(list_trunk, ListResNet(19, early=len(rates) == 2))
    saved(theirs.state_dict(), tmp_path / "file.pth")
    with pytest.raises(
        UserError, match=r"file.pth is DeepLab-ResNet-101 .* give rates=\[6,12,18,24\] or rates=\[6,12\]"
    ):
        deeplab_lit.load(tmp_path / "file.pth")
    trained = loaded(tmp_path / "file.pth", rates=rates)
    agrees(trained.network, theirs, torch.randn(1, 3, 65, 81))
    assert len(trained.labels) == 19
    notes = trained.description["notes"]
    assert any("conv2d_list.3 was left" in note for note in notes) == (len(rates) == 2)
    assert "taken: trunk (520)" in started(tmp_path / "file.pth", rates=list(rates))[1]


def test_of_two_lists_of_classifiers_layer6_is_the_networks(tmp_path, list_trunk):
    theirs = on(list_trunk, ListResNet(19, early=True, multi=True))
    saved(theirs.state_dict(), tmp_path / "multi.pth")
    with pytest.raises(UserError, match="multi.pth is DeeplabMulti with ResNet-101"):
        deeplab_lit.load(tmp_path / "multi.pth")
    trained = loaded(tmp_path / "multi.pth", rates=[6, 12])
    agrees(trained.network, theirs, torch.randn(1, 3, 65, 81))
    assert any("layer5" in note and "was left" in note for note in trained.description["notes"])


def test_a_trunk_alone_is_a_start(tmp_path, unit_trunk, list_trunk):
    image = torch.randn(1, 3, 65, 65)
    network, _ = started(saved(unit_trunk.state_dict(), tmp_path / "unit.pth"))
    agrees(network.trunk, unit_trunk, image)
    network, _ = started(saved(list_trunk.state_dict(), tmp_path / "list.pth", "Scale."))
    agrees(network.trunk, list_trunk.features, image)
    with pytest.raises(UserError, match="no classifier of pixels"):
        deeplab_lit.load(tmp_path / "list.pth")


@pytest.mark.parametrize("name", ["resnet18", "resnet101"])
def test_a_trunk_alone_under_torchvisions_names_is_torchvisions(tmp_path, name):
    """DeepLab-ResNet's trunk has the same names: a note says what was supposed."""
    theirs = randomised(getattr(torchvision.models, name)(weights=None))
    state = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    network, said = started(saved(state, tmp_path / "trunk.pth"), backbone={"output_stride": 32})
    agrees(network.trunk, torch.nn.Sequential(*list(theirs.children())[:-2]), torch.randn(1, 3, 96, 64))
    about = read(tmp_path / "trunk.pth")["deeplab_lit"]
    assert about["normalization"]["bgr"] is False and about["network"]["backbone"]["stride_on"] == "3x3"
    assert f"it is the trunk of torchvision's {name}\nnote: DeepLab-ResNet's trunk has torchvision's names" in said

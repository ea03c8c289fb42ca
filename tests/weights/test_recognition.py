"""Which layout a state dict is taken for, and what is said of one that fits none whole."""

import pytest
import torch
from tests.weights.torch_nets import ListResNet, UnitResNet, with_aspp, with_fc, without_values

from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.read import read
from deeplab_lit.weights.recognition import convert_state_dict
from deeplab_lit.weights.state_dicts import known


@pytest.fixture(scope="module")
def pyramid():
    return without_values(lambda: with_aspp(UnitResNet(), 21))


def refusal(path, state, rates=None):
    torch.save(state, path)
    with pytest.raises(UserError) as caught:
        read(path, rates)
    return str(caught.value)


def test_a_partial_load_is_refused_with_what_was_found(tmp_path, pyramid):
    def refused(state, *words):
        said = refusal(tmp_path / "odd.pth", state)
        assert all(word in said for word in words), said

    less = {name: value for name, value in pyramid.items() if name != "layer4.block3.reduce.conv.weight"}
    refused(
        less,
        "nearest layout is the PyTorch DeepLab V2 with ResNet-101",
        "1 are missing (layer4.block3.reduce.conv.weight)",
    )
    refused({**pyramid, "ema.decay": torch.zeros(1)}, "1 have no place (ema.decay)", "Nothing was loaded")
    other = {**pyramid, "aspp.c1.weight": torch.zeros(()).expand(19, 2048, 3, 3)}
    refused(other, "1 have another shape (aspp.c1.weight (19, 2048, 3, 3) for (21, 2048, 3, 3))")
    refused({"encoder.w": torch.zeros(2, 3)}, "begin with encoder.w (2, 3)", "No layout that is known")
    refused({"encoder.w": torch.zeros(1)}, "such names: they begin with layer1.conv1.conv.weight, conv1.weight, Scale.")
    refused({"epoch": 3, "name": "x"}, "holds a dict with epoch, name, not tensors by name")
    refused([1, 2], "holds list, not tensors by name")


def test_the_nearest_layout_has_the_same_classifiers(tmp_path):
    """Of layouts with one trunk the nearest is that with the classifiers of the file."""
    trunk = without_values(UnitResNet)
    one = without_values(lambda: with_fc(UnitResNet(), 91))
    several = {f"Scale.{name}": value for name, value in without_values(lambda: ListResNet(21)).items()}
    two = without_values(lambda: ListResNet(19, multi=True))
    for state, without, nearest in (
        (one, "layer5.block1.reduce.conv.weight", "the PyTorch DeepLab V1 with ResNet-101"),
        (several, "Scale.layer5.conv2d_list.2.bias", "DeepLab-ResNet-101 with several scales of its input"),
        (two, "layer6.conv2d_list.0.bias", "DeeplabMulti with ResNet-101"),
    ):
        said = refusal(tmp_path / "cut.pth", {name: value for name, value in state.items() if name != without})
        assert f"The nearest layout is {nearest} (" in said and f"but 1 are missing ({without}). Nothing" in said, said
    said = refusal(tmp_path / "more.pth", {**trunk, "decoder.weight": torch.zeros(2)})
    assert "is the trunk of the PyTorch DeepLab V2 with ResNet-101" in said and "no place (decoder.weight)" in said


@pytest.mark.parametrize("layout", known(), ids=lambda layout: layout.what)
def test_every_layout_is_told_from_the_others(layout):
    state = {f"module.{name}": torch.zeros(()).expand(shape) for name, shape in layout.expected(7).items()}
    found = convert_state_dict(state, "a", None if layout.tells_rates else [6, 12])
    assert found.what == layout.what and found.classes == (7 if layout.model else 0)


def test_rates_are_two_or_four_and_only_for_a_file_that_does_not_tell_them(tmp_path, pyramid):
    plain = without_values(lambda: ListResNet(21))
    said = refusal(tmp_path / "a.pth", plain)
    assert "a.pth is DeepLab-ResNet-101 with layer5, and cannot tell whether all four" in said
    for word in ("rates=[6,12,18,24]", "rates=[6,12] to convert", "init.rates to train", "that convert writes"):
        assert word in said
    for rates in ([], [6], [12, 6], [6, 12, 18], [1, 2, 3, 4]):
        assert f"rates={rates} is not possible: " in refusal(tmp_path / "a.pth", plain, rates)
    said = refusal(tmp_path / "b.pth", pyramid, [6, 12])
    assert "rates=[6, 12]: " in said and "b.pth has the rates [6, 12, 18, 24]; leave rates out" in said
    said = refusal(tmp_path / "c.pth", without_values(lambda: with_fc(UnitResNet(), 91)), [6, 12])
    assert "c.pth has no rates to choose; leave rates out" in said
    torch.save(pyramid, tmp_path / "b.pth")
    assert read(tmp_path / "b.pth", [6, 12, 18, 24])["deeplab_lit"]["network"]["model"]["rates"] == [6, 12, 18, 24]


@pytest.mark.parametrize("classes", [0, 1, 256, 10**9])
def test_a_number_of_classes_that_no_mask_has(tmp_path, pyramid, classes):
    """A shape takes no room in a file: 10 ** 9 classes were named one by one, until the memory was full."""
    state = {
        name: torch.zeros(()).expand(classes, *value.shape[1:]) if name.startswith("aspp") else value
        for name, value in pyramid.items()
    }
    assert f"with ResNet-101, and scores {classes} classes: 2 to 255 are" in refusal(tmp_path / "a.pth", state)


def test_a_classifier_without_an_axis(tmp_path, pyramid):
    said = refusal(tmp_path / "a.pth", {**pyramid, "aspp.c0.bias": torch.zeros(()), "aspp.c0.weight": torch.zeros(())})
    assert "nearest layout is the PyTorch DeepLab V2 with ResNet-101" in said and "have another shape" in said


def test_wrappers_of_names_and_of_files(tmp_path):
    """``module.`` is a copy on several devices, ``base.`` the network inside one of several scales."""
    one = without_values(lambda: with_fc(UnitResNet(), 91))
    for prefix, key, scales in (("module.base.", "model", 3), ("base.module.", "state_dict", 3), ("module.", None, 1)):
        state = {prefix + name: value for name, value in one.items()}
        torch.save({key: state} if key else state, tmp_path / "a.pth")
        assert len(read(tmp_path / "a.pth")["deeplab_lit"]["network"]["scales"]) == scales


@pytest.mark.filterwarnings("ignore")  # that sparse tensors are slow to check
@pytest.mark.parametrize("make", [torch.Tensor.to_sparse, lambda value: value.to(torch.complex64)])
def test_tensors_that_no_parameter_can_hold(tmp_path, pyramid, make):
    """They ended in an error of PyTorch, or lost their imaginary part."""
    said = refusal(tmp_path / "a.pth", {**pyramid, "aspp.c0.bias": make(torch.ones(21))})
    assert "a.pth is damaged: its state dict is not what a checkpoint of this library holds" in said

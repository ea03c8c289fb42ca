"""The authors' Caffe models: files in Caffe's own format, outputs by Caffe's own layers."""

import numpy as np
import pytest
import torch
from tests.weights import caffe_nets

import deeplab_lit
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.convert import in_rgb
from deeplab_lit.weights.read import read


def outputs(path, image, rgb=False):
    """Of the network that is loaded from a file, for RGB bytes; and what Caffe is given for them."""
    trained = deeplab_lit.load(path)
    with torch.no_grad():
        return trained, trained.network(trained.normalization(image)[None])


def caffe_input(image):
    bgr = image[..., ::-1].astype(np.float32) - np.float32([104.008, 116.669, 122.675])
    return torch.from_numpy(np.ascontiguousarray(bgr.transpose(2, 0, 1)))[None]


def photograph(height=97, width=129):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


NETS = {
    "largefov": lambda: caffe_nets.vgg16("largefov"),
    "7x7": lambda: caffe_nets.vgg16("deeplab_7x7"),
    "aspp": lambda: caffe_nets.vgg16("aspp"),
    "msc": lambda: caffe_nets.vgg16("largefov", msc=True),
    "resnet50": lambda: caffe_nets.resnet(),
    "resnet50 with another eps": lambda: caffe_nets.resnet(eps=1e-3),
    "resnet101": lambda: caffe_nets.resnet((3, 4, 23, 3)),
    "resnet50 of COCO": lambda: caffe_nets.resnet(head="coco"),
}


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_caffes(tmp_path, name):
    layers, image = NETS[name](), photograph()
    trained, found = outputs(caffe_nets.write(tmp_path / "net.caffemodel", layers), image)
    expected = caffe_nets.run(layers, caffe_input(image))
    assert found.shape == expected.shape and expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-4)
    assert trained.normalization == Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
    assert len(trained.labels) == (91 if "COCO" in name else 21)
    assert trained.labels.names[17 if "COCO" in name else 8] == "cat"
    assert trained.network.align_corners


@pytest.mark.parametrize("name", ["largefov", "aspp"])
def test_the_older_format_says_no_rates_and_the_published_ones_are_taken(tmp_path, name):
    layers, image = NETS[name](), photograph()
    path = caffe_nets.write(tmp_path / "net.caffemodel", layers, old=True)
    _, found = outputs(path, image)
    expected = caffe_nets.run(layers, caffe_input(image))
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-4)
    assert "does not say its rates" in read(path)["deeplab_lit"]["notes"][0]


@pytest.mark.parametrize("name", ["msc", "resnet50"])
def test_a_network_of_rgb_images_has_equal_outputs(tmp_path, name):
    path, image = caffe_nets.write(tmp_path / "net.caffemodel", NETS[name]()), photograph()
    _, expected = outputs(path, image)
    content = read(path)
    in_rgb(content)
    torch.save(content, tmp_path / "rgb.ckpt")
    trained, found = outputs(tmp_path / "rgb.ckpt", image)
    assert trained.normalization == Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=False)
    torch.testing.assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-5)


def test_copies_for_other_scales_make_a_network_of_several_scales(tmp_path):
    layers = caffe_nets.resnet()
    copies = [
        caffe_nets.Layer(f"{layer.name}_{end}", layer.type, layer.bottoms, layer.top, layer.blobs, layer.options)
        for end in ("res075", "res05")
        for layer in layers[:20]
    ]
    trained = deeplab_lit.load(caffe_nets.write(tmp_path / "msc.caffemodel", layers + copies))
    assert trained.network.scales == (1.0, 0.75, 0.5)
    copies[0].blobs = [copies[0].blobs[0] + 1]
    with pytest.raises(UserError, match="'conv1' and 'conv1_res075' should share their weights"):
        read(caffe_nets.write(tmp_path / "odd.caffemodel", layers + copies))


def test_nets_without_a_classifier_are_starts(tmp_path):
    path = caffe_nets.write(tmp_path / "init.caffemodel", caffe_nets.vgg16("none"))
    with pytest.raises(UserError, match="no fc6 that this library knows of"):
        read(path)
    path = caffe_nets.write(tmp_path / "init.caffemodel", caffe_nets.resnet(head="none"))
    with pytest.raises(UserError, match=r"no classifier of pixels: train one from it with init=checkpoint"):
        deeplab_lit.load(path)
    about = read(path)["deeplab_lit"]
    network = build_network({**about["network"], "model": {"_target_": "deeplab_lit.models.heads.ASPP"}}, 5)
    from deeplab_lit.config.schemas import CheckpointConfig
    from deeplab_lit.data.labels import LabelSet
    from deeplab_lit.weights.initialize import initialize

    lines = initialize(
        network, CheckpointConfig(path=str(path)), LabelSet(tuple("abcde")), about["network"]["backbone"]
    )
    assert "taken: trunk (265); new: head.branches.0.classifier (2)" in lines[0] and "Caffe ResNet-50" in lines[1]


def test_what_does_not_fit_is_named(tmp_path):
    layers = caffe_nets.resnet()
    whole = caffe_nets.write(tmp_path / "net.caffemodel", layers).read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="whole Caffe model|cut off"):
        read(tmp_path / "cut.caffemodel")
    without = [layer for layer in layers if layer.name != "scale4b_branch2b"]
    with pytest.raises(UserError, match="no layer 'scale4b_branch2b', which belongs to 'res4b_branch2b'"):
        read(caffe_nets.write(tmp_path / "a.caffemodel", without))
    builder = caffe_nets.Builder()
    builder.conv("extra", "data", 3, 4, 1)
    with pytest.raises(UserError, match="1 layers have no place in Caffe ResNet-50.*: extra 4x3x1x1 4"):
        read(caffe_nets.write(tmp_path / "b.caffemodel", layers + builder.layers))
    with pytest.raises(UserError, match="neither VGG-16 .* it begins with extra 4x3x1x1"):
        read(caffe_nets.write(tmp_path / "c.caffemodel", builder.layers))
    (tmp_path / "text.caffemodel").write_text("name: 'net'\n")
    with pytest.raises(UserError, match="neither a PyTorch or safetensors file nor a whole Caffe model"):
        read(tmp_path / "text.caffemodel")

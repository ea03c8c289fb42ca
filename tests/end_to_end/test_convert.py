"""Weights of other code bases, from a file to a score on images, by commands."""

import json

import numpy as np
import pytest
import torch

import deeplab_lit
from tests.conftest import write_voc
from tests.end_to_end.running import use
from tests.weights import caffe_nets
from tests.weights.torch_nets import ListResNet, without_values


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    caffe_nets.write(folder / "net.caffemodel", caffe_nets.vgg16("aspp"))
    write_voc(folder / "voc")
    return folder


def test_a_caffe_model_is_converted_evaluated_and_gives_its_own_output(folder):
    out = "net.safetensors"
    done = use("convert", folder, f"source=net.caffemodel out={out} rgb=true")
    assert "Caffe VGG-16 with ASPP" in done.stdout and "21 classes (background, aeroplane, bicycle, ...)" in done.stdout
    assert "input: RGB minus [122.675, 116.669, 104.008]" in done.stdout
    image = np.random.default_rng(0).integers(0, 256, (65, 97, 3), np.uint8)
    trained = deeplab_lit.load(folder / out)
    blobs = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)).astype(np.float32))
    blobs -= torch.tensor([104.008, 116.669, 122.675])[:, None, None]
    expected = caffe_nets.run(caffe_nets.vgg16("aspp"), blobs[None])
    with torch.no_grad():
        found = trained.network(trained.normalization(image)[None])
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-4)
    if out.endswith(".ckpt"):
        return
    use("evaluate", folder, f"checkpoint={out} data=voc data.root=voc device=cpu precision=32-true output=scores")
    results = [json.loads(file.read_text()) for file in (folder / "scores").rglob("result.json")]
    assert results and all(0 <= result["miou"] < 0.2 for result in results)


def test_mistakes_are_named_before_anything_is_written(folder):
    for words, said in (
        ("source=net.caffemodel out=net.pth", "out=net.pth: the name ends in .ckpt or .safetensors"),
        ("source=none.pth out=b.ckpt", "'none.pth' does not exist"),
        ("source=net.caffemodel out=b.ckpt classes=two.txt", "names 2 classes, the weights score 21"),
    ):
        (folder / "two.txt").write_text("a\nb\n")
        assert said in use("convert", folder, words, expect=1).stderr
    assert not (folder / "b.ckpt").exists()
    (folder / "there.ckpt").write_text("mine")
    assert "is there already" in use("convert", folder, "source=net.caffemodel out=there.ckpt", expect=1).stderr
    assert (folder / "there.ckpt").read_text() == "mine"


def test_a_file_that_cannot_tell_its_rates_is_converted_first(folder):
    torch.save(without_values(lambda: ListResNet(21, multi=True)), folder / "multi.pth")
    for command, words in (
        ("convert", "source=multi.pth out=multi.ckpt"),
        ("evaluate", "checkpoint=multi.pth data=voc"),
    ):
        (line,) = use(command, folder, words, expect=1).stderr.splitlines()
        assert "give rates=[6,12,18,24] or rates=[6,12] to convert" in line
        assert "the other commands take the file that convert writes" in line
    said = use("convert", folder, "source=multi.pth out=multi.ckpt rates=[6,12]").stdout
    assert "multi.pth: DeeplabMulti with ResNet-101" in said and "beside layer6 in training, was left" in said
    trained = deeplab_lit.load(folder / "multi.ckpt")
    assert trained.network.head.rates == [6, 12]

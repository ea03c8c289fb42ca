"""Networks as files for other programs, run without this library's code."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import deeplab_lit
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.transforms import EvalTransform
from deeplab_lit.exports.compare import compare, images_to_check
from deeplab_lit.exports.tracing import traced
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.models.network import at_scales, build_network
from deeplab_lit.training.checkpoints import WholeFileCheckpoint
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import describe
from deeplab_lit.weights.from_checkpoint import start_from_checkpoint
from deeplab_lit.weights.read import read
from deeplab_lit.weights.write import save
from tests.end_to_end.running import use, use_alone

LABELS = LabelSet(("sky", "road", "wall"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
NORM = Normalization((100.3, 110.4, 120.0), (50.0, 60.0, 70.0), bgr=True)  # the padding is not quite zero
EVAL_SIZE = 97
DATA = {"_target_": "deeplab_lit.data.folder.Folder", "root": "/home/somebody/data", "classes": "/home/somebody/c.txt"}
SPEC = {
    "backbone": {"_target_": "deeplab_lit.models.timm_trunk.TimmTrunk", "name": "test_resnet"},
    "model": {"_target_": "deeplab_lit.models.heads.ASPP", "rates": [1, 2]},
    "scales": [1.0],
    "align_corners": True,
    "atrous": "auto",
}
VGG = {
    **SPEC,
    "backbone": {"_target_": "deeplab_lit.models.backbones.VGG16"},  # pools that round up
    "model": {"_target_": "deeplab_lit.models.heads.MultiScaleFeatures", "hidden": 16, "tap_hidden": 8},
    "align_corners": False,
}


def write(path, spec=SPEC):
    torch.manual_seed(0)
    network = build_network(spec, len(LABELS)).eval()
    for layer in network.modules():  # normalisation that does something
        if isinstance(layer, torch.nn.BatchNorm2d):
            for value in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(value, 0.5, 1.5)
            for value in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(value, std=0.2)
    content = {
        "state_dict": {f"network.{key}": value for key, value in network.state_dict().items()},
        "global_step": 7,
        "deeplab_lit": describe(spec, LABELS, NORM, EVAL_SIZE, DATA),
    }
    WholeFileCheckpoint().save_checkpoint(content, path)
    return network


# below, at and above the evaluation size, padded there and not
SIZES = ((97, 97), (64, 151), (200, 75), (40, 33), (105, 145), (120, 99))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints, and photographs of three sizes."""
    folder = tmp_path_factory.mktemp("exports")
    write(folder / "net.ckpt")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for height, width in SIZES:
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / "photos" / f"{height}x{width}.png")
    return folder


def export_alone(folder, *jobs):
    """Exports by one process without this one's checks of shapes, which no tracing goes through."""
    configs = [
        f"ExportConfig(checkpoint={source!r}, format={format!r}, out={out!r}, images='photos', scales={scales})"
        for source, format, out, scales in jobs
    ]
    script = "from deeplab_lit.config.command_schemas import ExportConfig\n"
    script += "from deeplab_lit.config.schemas import ScalesConfig\n"
    script += "from deeplab_lit.exports.export import export\n"
    script += "\n".join(f"export({each})" for each in configs)
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def graph(folder):
    others = export_alone(
        folder,
        ("net.ckpt", "torch_export", "msc.pt2", "ScalesConfig([0.5, 1.0])"),
        ("net.ckpt", "torch_export", "one.pt2", None),
        ("net.ckpt", "safetensors", "net.safetensors", "ScalesConfig([0.5, 1.0])"),
    )
    words = "images=photos checkpoint=net.ckpt format=onnx out=msc.onnx scales=msc scales.factors=[0.5,1.0]"
    command = use_alone("export", folder, words)
    return folder, (command.stdout, others)


def normalised(images, about):
    """What a user of a file gives it, by its metadata alone."""
    mean, std = (np.array(about["normalization"][key], np.float32) for key in ("mean", "std"))
    planes = ((np.stack(images).astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(planes[:, ::-1] if about["normalization"]["bgr"] else planes)


def about_of(path):
    return json.loads({each.key: each.value for each in onnx.load(path).metadata_props}["deeplab_lit"])["about"]


def photographs(folder):
    """A batch of the photograph and its mirror image for each size."""
    for height, width in SIZES:
        with Image.open(folder / "photos" / f"{height}x{width}.png") as file:
            image = np.array(file)
        yield [image, np.ascontiguousarray(image[:, ::-1])]


def predicted(network, images):
    """The scores that prediction computes of images of one size."""
    height, width = images[0].shape[:2]
    padded = torch.stack([EvalTransform(EVAL_SIZE, NORM).image(image) for image in images])
    with torch.no_grad():
        return network.scores(padded)[..., :height, :width]


def msc(folder):
    return at_scales(deeplab_lit.load(folder / "net.ckpt").network, [0.5, 1.0])


def test_onnx_runtime_gives_the_labels_of_prediction_at_any_batch_and_size(graph):
    folder, _ = graph
    session, about = onnxruntime.InferenceSession(str(folder / "msc.onnx")), about_of(folder / "msc.onnx")
    predictor = Predictor(msc(folder), NORM, EVAL_SIZE, device="cpu", precision="32-true")
    for images in photographs(folder):
        (scores,) = session.run(["scores"], {"image": normalised(images, about)})
        torch.testing.assert_close(torch.from_numpy(scores), predicted(msc(folder), images), atol=1e-4, rtol=1e-4)
        equal = [
            (found.argmax(0) == predictor.labels(image)).mean() for found, image in zip(scores, images, strict=True)
        ]
        assert min(equal) >= 0.9999, (images[0].shape, equal)


def test_pytorchs_program_gives_the_scores_of_prediction_at_any_batch_and_size(graph):
    folder, _ = graph
    program = torch.export.load(folder / "msc.pt2").module()
    for images in photographs(folder):
        found = program(torch.from_numpy(normalised(images, about_of(folder / "msc.onnx"))))
        torch.testing.assert_close(found, predicted(msc(folder), images), atol=1e-5, rtol=1e-5)


def test_the_metadata_says_how_to_use_it_and_nothing_of_this_machine(graph):
    folder, _ = graph
    model, about = onnx.load(folder / "msc.onnx"), about_of(folder / "msc.onnx")
    assert about["labels"] == {"names": ["sky", "road", "wall"], "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}
    assert about["normalization"] == {"mean": list(NORM.mean), "std": list(NORM.std), "bgr": True, "bits": 8}
    assert about["network"]["scales"] == [0.5, 1.0]
    names = [
        [side.dim_param or side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in (model.graph.input[0], model.graph.output[0])
    ]
    assert names == [["batch", 3, "height", "width"], ["batch", 3, "height", "width"]]
    with zipfile.ZipFile(folder / "msc.pt2") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
        extra = next(name for name in archive.namelist() if name.endswith("extra/deeplab_lit.json"))
        assert json.loads(archive.read(extra))["about"] == about
    for data in ((folder / "msc.onnx").read_bytes(), content, (folder / "net.safetensors").read_bytes()):
        assert b"multiscale.py" not in data and os.fsencode(Path.cwd()) not in data
        assert os.fsencode(folder) not in data and b"/home/somebody" not in data


def test_what_it_prints_names_image_size_and_difference(graph):
    _, (command, others) = graph
    assert "msc.onnx: " in command and "scales 0.5, 1 fused inside" in command
    assert "BGR minus 100.3, 110.4, 120 over 50, 60, 70" in command
    for image in (
        "105x145, 145 x 105", "120x99, reduced, 60 x 73", "200x75, enlarged, 109 x 291",
        "105x145 and its mirror image, 145 x 105",
    ):  # fmt: skip
        assert command.count(f"{image}") == 1 and others.count(f"{image}") == 3, image
    assert command.count("written; each difference is below 0.001 of the largest score") == 1


@pytest.mark.parametrize("name", ["msc.onnx", "msc.pt2"])
def test_load_takes_what_was_written(graph, name):
    folder, _ = graph
    trained = deeplab_lit.load(folder / name)
    assert trained.labels == LABELS and trained.normalization == NORM and trained.step == 7
    for images in photographs(folder):
        torch.testing.assert_close(
            predicted(trained.network, images), predicted(msc(folder), images), atol=1e-4, rtol=1e-4
        )
    photo = folder / "photos" / "64x151.png"
    assert trained.predict(photo).shape == (64, 151)
    network = deeplab_lit.load(folder / "net.ckpt")
    network = type(network)(**{**vars(network), "network": at_scales(network.network, [0.5, 1.0])})
    difference = np.abs(trained.probabilities(photo) - network.probabilities(photo)).max()
    assert difference < 0.05, difference  # the predictor's own precision is bf16 where the processor has it


def test_a_program_of_one_scale_can_look_at_several(graph):
    folder, _ = graph
    image = torch.randn(1, 3, 80, 99)
    network = at_scales(deeplab_lit.load(folder / "one.pt2").network, [0.5, 1.0])
    with torch.no_grad():
        torch.testing.assert_close(network.scores(image), msc(folder).scores(image), atol=1e-4, rtol=1e-4)


def test_no_training_starts_from_weights_that_hold_their_normalisation(graph):
    folder, _ = graph
    network = build_network(SPEC, len(LABELS))
    with pytest.raises(UserError, match="batch normalisation is part of the weights"):
        start_from_checkpoint(network, read(folder / "one.pt2"), LABELS, "one.pt2")


def test_safetensors_keep_what_training_needs(graph):
    folder, _ = graph
    content = read(folder / "net.safetensors")
    assert content["deeplab_lit"]["network"]["scales"] == [0.5, 1.0]
    assert "network.network.trunk.network.bn1.running_var" in content["state_dict"]


@pytest.mark.long
def test_pools_that_round_up_and_taps_leave_too(folder):
    write(folder / "vgg.ckpt", VGG)
    export_alone(folder, ("vgg.ckpt", "onnx", "vgg.onnx", None), ("vgg.ckpt", "torch_export", "vgg.pt2", None))
    network = deeplab_lit.load(folder / "vgg.ckpt").network
    runs = [deeplab_lit.load(folder / "vgg.onnx").network.scores, torch.export.load(folder / "vgg.pt2").module()]
    again = deeplab_lit.load(folder / "vgg.pt2").network
    for images in photographs(folder):
        image = torch.from_numpy(normalised(images, about_of(folder / "vgg.onnx")))
        for found in (*(run(image) for run in runs), predicted(again, images)):
            torch.testing.assert_close(found, predicted(network, images), atol=1e-4, rtol=1e-4)


def test_a_file_that_computes_something_else_is_not_agreed_to():
    network = torch.nn.Conv2d(3, 3, 1)
    image = {"a": np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)}
    assert all(each.agrees for each in compare(network, network, NORM, 17, image))
    for wrong in (lambda x: network(x) * 1.01, lambda x: network(x) * float("nan")):
        assert not any(each.agrees for each in compare(network, wrong, NORM, 17, image))


def test_a_file_that_does_not_pad_as_prediction_does_is_not_agreed_to():
    network = torch.nn.Conv2d(3, 3, 5, padding=4, dilation=2)
    image = {"a": np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)}
    coarse = Normalization((100.45, 100.45, 100.45), (0.1, 0.1, 0.1))  # no byte is near to its mean
    assert not any(each.agrees for each in compare(network, network, coarse, 65, image))


class _Picky(torch.nn.Module):
    """Scores that depend on their values in Python."""

    align_corners = True

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def scores(self, image):
        return image * self.weight if image.sum() > 0 else image


def test_a_network_without_a_graph_is_named():
    with pytest.raises(UserError, match=r"no graph for any batch and size .*format=safetensors"):
        traced(_Picky(), NORM, EVAL_SIZE)


@pytest.mark.parametrize("eval_size", [97, 513])
@pytest.mark.parametrize(("names", "size"), [("a", (700, 350)), ("ab", (2000, 1500)), ("abc", (20, 30))])
def test_a_file_is_compared_on_images_below_and_above_the_evaluation_size(tmp_path, names, size, eval_size):
    for name in names:
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    images = images_to_check(str(tmp_path), None, eval_size)
    own, reduced, enlarged = (image.shape[:2] for image in images.values())
    assert max(reduced) < eval_size and (min(enlarged) > eval_size or max(enlarged) == 1025)
    assert own == (size[1], size[0]) or max(own) == 1025  # larger images are looked at in windows
    assert set(names) == {name.split(",")[0] for name in images}


def test_mistakes_are_named_and_what_is_there_stays(graph):
    folder, _ = graph
    (folder / "there.onnx").write_text("mine")
    for words, said in (
        ("checkpoint=net.ckpt format=onxx", "choose one of safetensors, torch_export, onnx"),
        ("checkpoint=net.ckpt format=onnx out=a.pt2", "ends in .onnx"),
        ("checkpoint=net.ckpt format=onnx out=there.onnx", "is there already"),
        ("checkpoint=none.ckpt format=onnx", "does not exist"),
        ("checkpoint=msc.onnx format=safetensors out=b.safetensors", "is an ONNX graph already"),
        ("checkpoint=net.ckpt", "format"),
    ):
        assert said in use("export", folder, words, expect=1).stderr
    assert (folder / "there.onnx").read_text() == "mine"
    for name, said in (("msc.onnx", "ONNX graph, to be evaluated, not trained"),):
        with pytest.raises(UserError, match=said):
            read(folder / name)
    with pytest.raises(UserError, match=r"cannot be changed on a network that is an exported graph"):
        at_scales(deeplab_lit.load(folder / "msc.onnx").network, [1.0])


class _Code:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_a_programs_file_is_read_without_running_what_it_carries(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, _ = graph
    with zipfile.ZipFile(folder / "msc.pt2") as source, zipfile.ZipFile("bad.pt2", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("sample_inputs/model.pt"):
                data = pickle.dumps(_Code())
            if name.endswith("models/model.json"):
                data = data.replace(b"torch.ops.aten.conv2d.default", b"torch.os.system")
            target.writestr(name, data)
    deeplab_lit.load("bad.pt2")  # neither graph nor pickles are looked at
    with zipfile.ZipFile(folder / "msc.pt2") as source, zipfile.ZipFile("worse.pt2", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("model_weights_config.json"):
                config = json.loads(data)
                first = next(iter(config["config"].values()))
                first["use_pickle"] = True
                data = json.dumps(config).encode()
            target.writestr(name, data)
    with pytest.raises(UserError, match="worse.pt2 is damaged"):
        deeplab_lit.load("worse.pt2")
    assert not (tmp_path / "attacked").exists()


def test_graphs_of_others_are_named(tmp_path):
    x = torch.randn(2, 3)
    torch.export.save(torch.export.export(torch.nn.Linear(3, 4), (x,)), tmp_path / "a.pt2")
    with pytest.raises(UserError, match="exported program of another library"):
        deeplab_lit.load(tmp_path / "a.pt2")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, ir_version=10), tmp_path / "a.onnx")
    with pytest.raises(UserError, match="ONNX graph of another library"):
        deeplab_lit.load(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes((tmp_path / "a.onnx").read_bytes()[:20])
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        deeplab_lit.load(tmp_path / "b.onnx")


def test_a_safetensors_header_of_any_length_is_known(tmp_path):
    """The first byte is its length's: with 0x80 it was taken for a pickle."""
    write(tmp_path / "net.ckpt")
    content = read(tmp_path / "net.ckpt")
    seen = set()
    for filler in range(0, 256, 8):
        content["deeplab_lit"]["filler"] = "x" * filler
        save(content, tmp_path / "a.safetensors")
        seen.add((tmp_path / "a.safetensors").read_bytes()[0])
        assert read(tmp_path / "a.safetensors")["global_step"] == 7
    assert {0x80, 0x08} <= seen
    # a length that looks like the beginning of an ONNX graph
    length = int.from_bytes((tmp_path / "a.safetensors").read_bytes()[:8], "little")
    content["deeplab_lit"]["filler"] += "x" * (0x0A0308 - length)
    save(content, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes()[:3] == b"\x08\x03\x0a"
    assert deeplab_lit.load(tmp_path / "a.safetensors").step == 7

"""Images of other channels than RGB from training to export: four channels of 16 bits in TIFFs, and grey PNGs."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import deeplab_lit
from deeplab_lit.inference.predictor import Predictor
from tests.end_to_end.running import train, use, use_alone
from tests.end_to_end.test_train import TINY, run_folder

pytestmark = pytest.mark.slow


def write(root, save, channels, largest):
    """Three images for training and two for validation; the last channel alone shows the second class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((40, 44), np.uint8)
            mask[5 + number : 30, 10:30] = 1
            image = rng.integers(0, largest // 2, (40, 44, channels))
            image[..., -1] += mask.astype(int) * (largest // 2)
            save(root / "images" / split / f"{number}", image)
            Image.fromarray(mask).save(root / "masks" / split / f"{number}.png")


def test_four_channels_of_16_bits(tmp_path):
    def save(path, image):
        tifffile.imwrite(
            path.with_suffix(".tif"), image.astype(np.uint16), photometric="minisblack", planarconfig="contig"
        )

    write(tmp_path / "mine", save, 4, 65535)
    data = ["data=folder", "data.root=mine", "data.classes=[ground,crack]", "data.channels=4", "data.bits=16"]
    assert "with 4 channels of 16 bits" in use("check_data", tmp_path, *data).stdout
    words = [*TINY[2:], *data, "max_steps=2", "decoded_gb=0.1", "crf=v2_vgg16", "crf.channels=[3]"]
    done = train(tmp_path, *words)
    flat = np.concatenate(
        [tifffile.imread(file).reshape(-1, 4) for file in sorted((tmp_path / "mine/images/train").iterdir())]
    ).astype(float)
    assert f"{flat.mean(0)[3]:g} over" in done.stdout and "measured where the weights say nothing" in done.stdout
    run = run_folder(tmp_path)
    best = run / "checkpoints" / "best.ckpt"
    trained = deeplab_lit.load(best)
    np.testing.assert_allclose(trained.normalization.mean[3], flat.mean(0)[3])
    np.testing.assert_allclose(trained.normalization.std[3], flat.std(0)[3])
    conv = trained.network.trunk.stem[0].weight
    assert conv.shape[1] == 4 and conv[:, 3].abs().max() > 0  # the new channel began at 0
    score = json.loads((run / "result.json").read_text())["miou"]
    assert f"{score:.4f}" in use("evaluate", tmp_path, f"checkpoint={best}", "precision=32-true").stdout
    # without its data set, as on another machine
    use("predict", tmp_path, f"checkpoint={best}", "images=mine/images/val", "out=out", "overlays=true",
        "probabilities=true", "crf=v2_vgg16", "crf.channels=[3]", "precision=32-true")  # fmt: skip
    with Image.open(tmp_path / "out" / "overlays" / "0.png") as overlay:
        assert overlay.mode == "RGB" and overlay.size == (44, 40)
    image = tifffile.imread(tmp_path / "mine/images/val/0.tif")
    assert trained.predict(image).shape == (40, 44) and trained.segment(image).overlay.shape == (40, 44, 3)
    refined = ["images=mine/images/val", "probabilities=out/probabilities", "out=refined", "channels=4", "bits=16"]
    use("refine", tmp_path, *refined, "crf=v2_vgg16", "crf.channels=[3]")
    wrong = use("evaluate", tmp_path, f"checkpoint={best}", *data[:-1], expect=1)
    assert "takes images with 4 channels of 16 bits" in wrong.stderr and "data.bits=16" in wrong.stderr
    # a longer training resumes with the normalisation of the checkpoint
    resumed = train(tmp_path, *words, "max_steps=3", f"resume={run}")
    assert f"{flat.mean(0)[3]:g} over" in resumed.stdout


@pytest.mark.long
def test_grey_pngs_and_a_start_from_an_rgb_checkpoint(tmp_path):
    def save(path, image):
        Image.fromarray(image[..., 0].astype(np.uint8)).save(path.with_suffix(".png"))

    write(tmp_path / "mine", save, 1, 255)
    data = ["data=folder", "data.root=mine", "data.classes=[ground,crack]", *TINY[2:], "max_steps=2"]
    train(tmp_path, *data, "name=rgb")  # a grey image is repeated as RGB
    rgb = next((tmp_path / "runs/rgb").iterdir())
    done = train(tmp_path, *data, "name=grey", "data.channels=1", "init=checkpoint", f"init.path={rgb}", "crf=v2_vgg16",
                 "decoded_gb=0.1")  # fmt: skip
    assert "1 channel of 8 bits minus" in done.stdout
    run = next((tmp_path / "runs/grey").iterdir())
    best = run / "checkpoints" / "best.ckpt"
    weight = torch.load(best, weights_only=True)["state_dict"]["network.trunk.stem.0.weight"]
    assert weight.shape[1] == 1
    score = json.loads((run / "result.json").read_text())["miou"]
    assert f"{score:.4f}" in use("evaluate", tmp_path, f"checkpoint={best}", "precision=32-true").stdout
    use("predict", tmp_path, f"checkpoint={best}", "images=mine/images/val", "out=out", "overlays=true")
    with Image.open(tmp_path / "out" / "overlays" / "0.png") as overlay:
        assert overlay.mode == "RGB"
    trained, image = deeplab_lit.load(best), np.array(Image.open(tmp_path / "mine/images/val/0.png"))[..., None]
    use_alone(
        "export", tmp_path, f"checkpoint={best}", "format=onnx", "out=net.onnx", "images=mine/images/val", within=1200
    )
    graph = deeplab_lit.load(tmp_path / "net.onnx")
    exact = Predictor(trained.network, trained.normalization, trained.eval_size, precision="32-true")
    np.testing.assert_allclose(graph.probabilities(image), exact.probabilities(image), atol=1e-4)
    refused = train(tmp_path, *data, "data.channels=2", "init=checkpoint", f"init.path={run}", expect=1)
    assert "the weights are of 1 channel of 8 bits, the data set has 2" in refused.stderr

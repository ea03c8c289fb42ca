"""Cityscapes in miniature, from the training to the package for its server, in windows and at half size."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import deeplab_lit
from deeplab_lit.data.cityscapes import LABEL_IDS, Cityscapes
from deeplab_lit.inference.metrics import Scores, count_pairs
from tests.data.layouts import write_cityscapes
from tests.end_to_end.running import train, use
from tests.end_to_end.test_train import run_folder
from tests.end_to_end.test_use import FAST

SIZE = (96, 192)
TRAINING = [
    "data=cityscapes", "data.root=city", "data.converted=half", "backbone=timm", "backbone.name=test_resnet",
    "crop_size=65", "eval_size=65", "batch_size=2", "max_steps=2", "val_every=2", "num_workers=0", "logger=csv",
    "trainer.accelerator=cpu", "trainer.precision=32-true", "pictures=1",
]  # fmt: skip
CRF = "crf=v2_vgg16 crf.iterations=2"


def matrix(root, labels_of):
    """The confusion matrix of val at full size; ``labels_of`` gives the labels of an id."""
    split = Cityscapes(root).split("val")
    return sum(count_pairs(labels_of(id), split[i].mask, 19) for i, id in enumerate(split.ids))


def written_by_predict(folder):
    def read(id):
        (file,) = folder.glob(f"masks/*{id}_leftImg8bit.png")
        return np.array(Image.open(file))

    return read


def result(folder):
    (file,) = folder.rglob("result.json")
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder with the data set and a training on it."""
    folder = tmp_path_factory.mktemp("full")
    write_cityscapes(folder / "city", SIZE)
    train(folder, *TRAINING)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "largest", [SIZE[0] * SIZE[1] - 1, pytest.param(2048 * 1024, marks=pytest.mark.long)], ids=["each", "whole"]
)
def test_evaluate_scores_the_masks_of_predict(full, tmp_path, monkeypatch, largest):
    """In windows, with a CRF on the whole image and with one on each window."""
    monkeypatch.setattr("deeplab_lit.inference.predictor._WHOLE", largest)
    checkpoint = f"checkpoint={run_folder(full)} window=65 overlap=16" + FAST
    use("evaluate", full, checkpoint, CRF, f"output={tmp_path}/scores")
    found = result(tmp_path / "scores")
    for name, crf, expected in (("plain", "crf=none", found["miou"]), ("refined", CRF, found["crf"]["miou"])):
        out = tmp_path / name
        use("predict", full, checkpoint, crf, f"images=city/leftImg8bit/val/*/*.png overlays=false out={out}")
        assert Scores.of(matrix(full / "city", written_by_predict(out))).miou == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_a_network_of_half_size_is_scored_on_masks_of_full_size(tmp_path):
    write_cityscapes(tmp_path / "city", SIZE)
    train(tmp_path, *TRAINING, "data.half_size=true", "crop_size=33", "eval_size=33")
    assert Image.open(next((tmp_path / "half").rglob("*_leftImg8bit.png"))).size == (96, 48)
    scores = "data=cityscapes data.root=city data.half_size=false scales=single scales.factors=[0.5] output=scores"
    use("evaluate", tmp_path, f"checkpoint={run_folder(tmp_path)}", scores + FAST)
    trained, split = deeplab_lit.load(run_folder(tmp_path)), Cityscapes(tmp_path / "city").split("val")
    half = Cityscapes(tmp_path / "city", half_size=True, converted=tmp_path / "half")

    def labels_of(id):
        # the input is what the network was trained on: the image of the converted folder, padded
        small = half.split("val")[split.ids.index(id)].image
        with torch.inference_mode():
            maps = trained.network(trained.normalization(small, (257, 257))[None])
        scores = F.interpolate(maps, (513, 513), mode="bilinear", align_corners=trained.network.align_corners)
        return scores[0, :, : SIZE[0], : SIZE[1]].argmax(0).numpy().astype(np.uint8)

    assert result(tmp_path / "scores")["miou"] == pytest.approx(
        Scores.of(matrix(tmp_path / "city", labels_of)).miou, abs=2e-4
    )


@pytest.mark.slow
def test_a_package_for_the_server(full, tmp_path, monkeypatch):
    checkpoint = f"checkpoint={run_folder(full)} images=city/leftImg8bit/test format=cityscapes_server" + FAST
    done = use("predict", full, checkpoint, f"out={tmp_path}/out", expect=1)
    assert "is 192x96: the server takes masks of 2048x1024" in done.stderr
    monkeypatch.setattr("deeplab_lit.inference.cityscapes_server.SIZE", SIZE[::-1])
    done = use("predict", full, checkpoint, f"out={tmp_path}/out")
    assert f"package for the server, checked: {tmp_path}/out/results.zip" in done.stdout
    names = [f"{city}_000000_00000{number}" for city in ("berlin", "bonn") for number in range(2)]
    with zipfile.ZipFile(tmp_path / "out" / "results.zip") as package:
        assert package.namelist() == [f"{name}.png" for name in names]
        for name in names:
            written = np.array(Image.open(io.BytesIO(package.read(f"{name}.png"))))
            city = name.split("_")[0]
            mask = np.array(Image.open(tmp_path / "out" / "masks" / city / f"{name}_leftImg8bit.png"))
            np.testing.assert_array_equal(written, np.array(LABEL_IDS)[mask])
    done = use("predict", full, checkpoint, f"out=x validate={tmp_path}/out/results.zip")
    assert "fit for the server, 4 images" in done.stdout
    done = use(
        "predict", full, checkpoint.replace("test", "val"), f"out=x validate={tmp_path}/out/results.zip", expect=1
    )
    assert "belongs to no image of the list" in done.stderr

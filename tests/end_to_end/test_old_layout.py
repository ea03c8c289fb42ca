"""What the code of an earlier layout of the package has written goes on loading, evaluating and resuming."""

import gzip
import importlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch

import deeplab_lit
from tests.conftest import ROOT
from tests.end_to_end.running import train, use

OLD = ROOT / "tests" / "fixtures" / "old_layout"
WAS = [
    "--config-dir", str(OLD / "conf"), "backbone=tiny", "data.train_images=24", "data.val_images=5", "max_steps=4",
    "val_every=2", "batch_size=2", "crop_size=49", "num_workers=0", "trainer.accelerator=cpu",
    "trainer.precision=32-true", "logger=csv", "trainer.log_every_n_steps=1", "pictures=0", "name=old",
    "model=aspp_s", "model.rate_scale=0.2", "ema=0.9", "optimizer=sgd", "optimizer.lr=0.01",
]  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The run directory as it was left."""
    monkeypatch.syspath_prepend(str(OLD))
    monkeypatch.delitem(sys.modules, "tiny_trunk", raising=False)
    importlib.invalidate_caches()
    folder = tmp_path / "runs" / "old" / "2026-11-27_03-38-48"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(gzip.decompress((OLD / "last.ckpt.gz").read_bytes()))
    shutil.copy(OLD / "metrics.csv", folder)
    return folder


@pytest.fixture(scope="module")
def expected():
    return dict(np.load(OLD / "expected.npz"))


def test_it_loads(run, expected):
    trained = deeplab_lit.load(run / "checkpoints" / "last.ckpt", allow=("tiny_trunk",))
    assert trained.step == 2 and trained.labels.names[1] == "ball" and trained.eval_size == 145
    image = torch.linspace(-2, 2, 3 * 65 * 81).reshape(1, 3, 65, 81)
    with torch.no_grad():
        np.testing.assert_allclose(trained.network(image), expected["scores"], atol=1e-5, rtol=1e-4)


def test_it_evaluates(run, tmp_path):
    use(
        "evaluate", tmp_path, f"checkpoint={run}/checkpoints/last.ckpt", "allow=[tiny_trunk]", "device=cpu",
        "data=shapes", "data.train_images=24", "data.val_images=5",  # its config has the former name of the domain
    )  # fmt: skip
    (result,) = tmp_path.glob("evaluations/*/*/result.json")
    assert json.loads(result.read_text())["step"] == 2


def test_it_resumes_to_the_weights_that_the_old_code_came_to(run, tmp_path, expected):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(tmp_path, *WAS, f"resume={run}")
    finally:
        torch.set_num_threads(threads)
    end = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert end["global_step"] == 4
    wanted = {name.removeprefix("final/"): value for name, value in expected.items() if name != "scores"}
    assert {*end["state_dict"]} == {*wanted}
    for name, value in wanted.items():
        if name.endswith("num_batches_tracked"):  # the old code averaged this counter too, and nothing reads it
            continue
        np.testing.assert_allclose(end["state_dict"][name], value, atol=1e-5, rtol=1e-4, err_msg=name)
    steps = [int(line.split(",")[0]) for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "target",
    [
        "models.backbones.ResNet", "models.backbones.VGG16", "models.efficientnet_lite0.EfficientNetLite0",
        "models.timm_trunk.TimmTrunk", "models.heads.FieldOfView", "models.heads.ASPP",
        "models.heads.MultiScaleFeatures", "data.voc.VOC", "data.sbd.VOCAug", "data.coco.COCO", "data.folder.Folder",
        "data.shapes.dataset.Shapes", "data.cityscapes.Cityscapes",
    ],
)  # fmt: skip
def test_every_class_that_checkpoints_name_is_where_they_look_for_it(target):
    module, name = f"deeplab_lit.{target}".rsplit(".", 1)
    found = getattr(importlib.import_module(module), name)
    assert found.__module__ == module

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import deeplab_lit
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.network import build_network
from deeplab_lit.training.checkpoints import WholeFileCheckpoint
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import describe
from tests.crf.test_dense import photograph

SPEC = {
    "backbone": {"_target_": "deeplab_lit.models.backbones.ResNet", "depth": 18},
    "model": {"_target_": "deeplab_lit.models.heads.ASPP", "rates": [1, 2]},
    "scales": [0.5, 1.0],
    "align_corners": False,
    "atrous": "interlace",
}
LABELS = LabelSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)))


def save(path, spec=SPEC, **changes):
    network = build_network(SPEC, 2).eval()
    content = {
        "state_dict": {f"network.{key}": value for key, value in network.state_dict().items()},
        "global_step": 7,
        "deeplab_lit": describe(spec, LABELS, Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=True)),
        **changes,
    }
    WholeFileCheckpoint().save_checkpoint(content, path)
    return network


def test_a_file_alone_gives_back_network_labels_and_normalisation(tmp_path):
    network = save(tmp_path / "a.ckpt")
    trained = deeplab_lit.load(tmp_path / "a.ckpt")
    assert trained.labels == LABELS and trained.step == 7
    assert trained.normalization == Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=True)
    image = torch.randn(1, 3, 41, 57)
    with torch.no_grad():
        assert torch.equal(trained.network.scores(image), network.scores(image))
    assert trained.network.scales == (1.0, 0.5) and trained.network.align_corners is False


class Attack:
    def __reduce__(self):
        return (open, ("attacked", "w"))


def test_files_that_would_run_code_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Attack()))
    torch.save({"state_dict": Attack()}, tmp_path / "torch.ckpt")
    for name in ("pickle.ckpt", "torch.ckpt"):
        with pytest.raises(UserError, match="cannot be read as a checkpoint"):
            deeplab_lit.load(tmp_path / name)
    save(tmp_path / "target.ckpt", {**SPEC, "model": {"_target_": "os.system", "command": "touch attacked"}})
    with pytest.raises(UserError, match=r"'os.system', which may run any code"):
        deeplab_lit.load(tmp_path / "target.ckpt")
    assert not (tmp_path / "attacked").exists()


def test_broken_and_foreign_files_are_named(tmp_path):
    save(tmp_path / "a.ckpt")
    whole = (tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    for name, words in (
        ("cut", "cannot be read"),
        ("foreign", r"holds 1 tensors that begin with weights \(1,\). No layout that is known"),
        ("none", "does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            deeplab_lit.load(tmp_path / f"{name}.ckpt")


def test_what_a_file_says_of_its_origin_may_be_missing_or_wrong(tmp_path):
    """Both were found by make fuzz, as KeyErrors."""
    save(tmp_path / "trunk.ckpt", {**SPEC, "model": None})
    with pytest.raises(UserError, match=r"\(of this library\) has a trunk, but no classifier of pixels"):
        deeplab_lit.load(tmp_path / "trunk.ckpt")
    about = describe(SPEC, LABELS, Normalization())
    for wrong in ({"source": "VGG"}, {"source": 3, "notes": []}, {"source": "VGG", "notes": [1]}):
        save(tmp_path / "a.ckpt", deeplab_lit={**about, **wrong})
        with pytest.raises(UserError, match="its source is not what a checkpoint of this library holds"):
            deeplab_lit.load(tmp_path / "a.ckpt")
    save(tmp_path / "a.ckpt", deeplab_lit={**about, "source": "VGG", "notes": ["of Caffe"]})
    assert deeplab_lit.load(tmp_path / "a.ckpt").step == 7


def test_the_package_shows_what_a_user_needs_and_imports_none_of_it():
    script = (
        "import deeplab_lit, sys; assert {'load', 'DenseCRF', 'preset', 'models'} <= set(dir(deeplab_lit))\n"
        "heavy = {'torch', 'lightning', 'hydra', 'numpy'} & set(sys.modules); assert not heavy, heavy\n"
        "assert deeplab_lit.preset('v2_vgg16').bilateral_xy_std == 65 and deeplab_lit.models.ASPP\n"
        "assert isinstance(deeplab_lit.preset('v2_vgg16'), deeplab_lit.DenseCRF)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_a_loaded_network_says_in_a_few_lines_what_it_is(tmp_path):
    network = save(tmp_path / "a.ckpt")
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    lines = repr(deeplab_lit.load(tmp_path / "a.ckpt")).splitlines()
    assert lines == [
        "ResNet(depth=18), ASPP(rates=[1, 2]), scales 0.5, 1",
        f"{millions:.2f} million parameters, 7 steps of training, 2 classes: sky, road",
        "input BGR minus 1, 2, 3 over 4, 5, 6, padded to at least 513 pixels a side",
        f"from {tmp_path / 'a.ckpt'}, computed on auto",
    ]


def test_it_computes_where_it_is_told_to(tmp_path):
    save(tmp_path / "a.ckpt")
    network = deeplab_lit.load(tmp_path / "a.ckpt")
    before = network._predictor
    assert network.to(torch.device("cpu")) is network and network._predictor is not before
    assert network._predictor.device == torch.device("cpu") and "computed on cpu" in repr(network)
    with pytest.raises(UserError, match="device=cuda:99"):
        network.to("cuda:99")
    assert network.device == "cpu"


def test_images_of_a_list_get_the_labels_that_each_would_get_alone(tmp_path):
    about = describe(SPEC, LABELS, Normalization(), eval_size=65)
    save(tmp_path / "a.ckpt", deeplab_lit=about)
    network = deeplab_lit.load(tmp_path / "a.ckpt").to("cpu")
    sizes = [(40, 50), (65, 65), (80, 30), (33, 64), (1030, 20), (60, 60), (75, 40)]
    images = [photograph(*size, seed) for seed, size in enumerate(sizes)]
    batches = []
    network._predictor.network.register_forward_pre_hook(lambda _, given: batches.append(tuple(given[0].shape)))
    found = network.predict(images, batch_size=3)
    # four images are padded to 65 x 65, two to 81 x 65
    assert sorted(batches)[-3:] == [(1, 3, 1025, 65), (2, 3, 81, 65), (3, 3, 65, 65)] and batches[0][0] == 3
    for labels, image in zip(found, images, strict=True):
        assert labels.dtype == np.uint8 and labels.shape == image.shape[:2]
        assert (labels == network.predict(image)).mean() > 0.9999, image.shape
    assert network.predict([]) == [] and len(network.predict((images[0],), crf="v2_resnet101")) == 1

"""Checkpoints as a start for another training."""

import pytest
import torch

from deeplab_lit.config.schemas import CheckpointConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models import MultiScaleInput
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import describe
from deeplab_lit.weights.initialize import initialize
from deeplab_lit.weights.read import read

LABELS = LabelSet(("background", "cat", "dog"))


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

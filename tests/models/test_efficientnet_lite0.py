"""EfficientNet-Lite0: the network of timm's name, and weights that know a cat."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from deeplab_lit.config.schemas import ImageNetConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0
from deeplab_lit.models.network import build_network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.initialize import initialize
from deeplab_lit.weights.lite0_package import read_efficientnet_lite0, trunk_weights

CATS = {281, 282, 283, 284, 285}  # ImageNet's tabby, tiger cat, Persian, Siamese, Egyptian cat
ESPRESSO = {504, 967}  # coffee mug, espresso


@pytest.fixture(scope="module")
def state():
    return read_efficientnet_lite0()


def classifier_scores(state, name):
    """The trunk, the mean over the map, and the classifier that stays behind."""
    import skimage.data

    trunk = EfficientNetLite0(output_stride=32)
    weights, rest = trunk_weights(state)
    trunk.load_state_dict(weights)
    image = Image.fromarray(getattr(skimage.data, name)())
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((225, 225), Image.Resampling.BICUBIC)
    x = torch.from_numpy((np.array(image, np.float32) - 127) / 128).permute(2, 0, 1)[None]
    with torch.no_grad():
        pooled = trunk.eval()(x).mean((2, 3))
    return (pooled @ state[rest[0]].T + state[rest[1]]).softmax(1)[0]


@pytest.mark.parametrize(("name", "expected"), [("chelsea", CATS), ("coffee", ESPRESSO)])
def test_real_photographs_are_seen_as_what_they_show(state, name, expected):
    scores = classifier_scores(state, name)
    assert int(scores.argmax()) in expected
    assert scores[list(expected)].sum() > 0.5


def test_it_is_timms_network(state):
    """At sizes that strides divide with one pixel left over, TensorFlow's padding is the plain one."""
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))
    trunk = EfficientNetLite0(output_stride=32).eval()
    trunk.load_state_dict(trunk_weights(state)[0])
    dense = EfficientNetLite0(output_stride=8).eval()
    dense.load_state_dict(trunk.state_dict())
    image = torch.randn(1, 3, 129, 161)
    with torch.no_grad():
        expected = theirs.forward_features(image)
        torch.testing.assert_close(trunk(image), expected)
        torch.testing.assert_close(dense(image)[:, :, ::4, ::4], expected, atol=1e-3, rtol=1e-3)


def started(**arguments):
    """A network whose trunk has the weights, and the line about them."""
    trunk = {"_target_": "deeplab_lit.models.efficientnet_lite0.EfficientNetLite0", "frozen_norm": True, **arguments}
    head = {"_target_": "deeplab_lit.models.heads.FieldOfView"}
    spec = {"backbone": trunk, "model": head, "scales": [1.0], "align_corners": False, "atrous": "auto"}
    network = build_network(spec, 3)
    weights = ImageNetConfig(weights="", path=None, fc="subset", fc_seed=0, normalization="imagenet", stride_on="3x3")
    (line,) = initialize(network, weights, LabelSet(("a", "b", "c")), trunk)
    return network, line


def test_training_starts_from_them_with_batch_normalisation_held():
    network, line = started()
    assert "taken: trunk (245); new: head.classifier (2); left: _fc (2)" in line
    network.train()
    before = network.trunk.stem[1].running_mean.clone()
    network.supervised(torch.randn(2, 3, 65, 65))[0].sum().backward()
    assert torch.equal(network.trunk.stem[1].running_mean, before) and before.abs().sum() > 0


def test_other_files_are_refused(state, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_efficientnet_lite0(tmp_path / "none.pth")
    names = list(state)
    with pytest.raises(UserError, match="not EfficientNet-Lite0's"):
        trunk_weights({name: state[name] for name in names[1:]})
    with pytest.raises(UserError, match="not EfficientNet-Lite0's"):
        trunk_weights({name: state[name] for name in names[:-40]})


def test_its_first_blocks_are_a_trunk_of_their_own(state):
    """Their map is what the eighth block of the whole network gives."""
    whole, early = EfficientNetLite0(output_stride=16).eval(), EfficientNetLite0(output_stride=16, blocks=8).eval()
    weights = trunk_weights(state)[0]
    whole.load_state_dict(weights)
    early.load_state_dict({name: weights[name] for name in early.state_dict()})
    seen = []
    whole.blocks[7].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        image = torch.randn(1, 3, 97, 97)
        whole(image)
        given = early(image)
    assert given.shape == (1, early.channels, 7, 7) and early.channels == 80
    torch.testing.assert_close(given, seen[0])
    with pytest.raises(UserError, match="has 16 blocks"):
        EfficientNetLite0(blocks=17)


def test_the_first_blocks_start_from_the_same_weights(state):
    network, line = started(blocks=8)
    assert "new: head.classifier (2)" in line
    assert torch.equal(network.trunk.stem[0].weight, state["_conv_stem.weight"])

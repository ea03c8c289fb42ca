"""A network that ends in the CRF: gradients everywhere, bytes recovered, rebuilt from its checkpoint."""

import numpy as np
import pytest
import torch

import deeplab_lit
from deeplab_lit.crf import DenseCRF
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models import RefinedByCRF
from deeplab_lit.models.network import build_network, deeplab_of
from deeplab_lit.training.optim import parameter_groups
from tests.crf.test_dense import SMALL, photograph
from tests.inference.test_trained import SPEC, save

NORMALIZATION = Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=True)
CRF = {**SMALL, "iterations": 3, "normalization": "after"}
INPUT = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "bgr": True}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network({**SPEC, "crf": {**CRF, "input": INPUT}}, 2).eval()


def test_it_gets_back_the_bytes_and_refines_as_the_engine_does(network):
    image = photograph(33, 41)
    x = NORMALIZATION(image)[None]
    assert isinstance(network, RefinedByCRF)
    np.testing.assert_array_equal(network._bytes(x)[0].permute(1, 2, 0).numpy(), image)
    with torch.no_grad():
        probabilities = network.network.scores(x).softmax(1)[0].numpy()
        found = network.scores(x).exp()[0].numpy()
    expected = DenseCRF(**CRF, engine="permutohedral", prune_threshold=0)(image, probabilities)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_gradients_reach_the_trunk_and_the_weights(network):
    maps = network.supervised(NORMALIZATION(photograph(33, 41))[None])
    # the refined scores at full size, and the map of each scale
    assert tuple(maps[0].shape[-2:]) == (33, 41) and len(maps) == 3
    maps[0][:, 0].mean().backward()
    assert network.crf.bilateral_weight.grad.abs() > 0 and network.crf.gaussian_weight.grad.abs() > 0
    first = next(deeplab_of(network).trunk.parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0


def test_the_kernels_weights_are_trained_without_decay(network):
    from deeplab_lit.config.schemas import SGDConfig

    groups = {group["name"]: group for group in parameter_groups(network, SGDConfig())}
    ids = {id(parameter): name for name, group in groups.items() for parameter in group["params"]}
    assert ids[id(network.crf.bilateral_weight)] == "new_norm" and groups["new_norm"]["weight_decay"] == 0


def test_a_checkpoint_brings_the_crf(tmp_path, network):
    content = {"state_dict": {f"network.{key}": value for key, value in network.state_dict().items()}}
    with torch.no_grad():
        content["state_dict"]["network.crf.bilateral_weight"] = torch.tensor(1.5)
    save(tmp_path / "a.ckpt", {**SPEC, "crf": {**CRF, "input": INPUT}}, **content)
    trained = deeplab_lit.load(tmp_path / "a.ckpt")
    assert isinstance(trained.network, RefinedByCRF) and trained.network.crf.bilateral_weight == 1.5
    labels = trained.predict(photograph(30, 40))
    assert labels.shape == (30, 40) and labels.dtype == np.uint8

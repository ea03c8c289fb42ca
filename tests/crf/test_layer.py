"""The CRF as a layer: its gradients by finite differences, batches and single images, the other engine's lattice."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from deeplab_lit.crf import DenseCRF, tensor_lattice
from deeplab_lit.crf import lattice as lattices
from deeplab_lit.crf import layer as engine
from deeplab_lit.crf.layer import CRFLayer
from tests.crf.test_dense import SMALL, coarse_probabilities, photograph


def features(count=30, d=3, seed=0, batch=1):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 4, (batch, count, d)))


def test_the_filter_has_the_gradients_of_finite_differences():
    lattice = tensor_lattice.build(features())
    values = torch.randn(30, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lattice.filter, values)
    assert torch.autograd.gradgradcheck(lattice.filter, values)


@pytest.mark.parametrize("normalization", ["symmetric", "after", "before", "none"])
def test_the_layer_has_the_gradients_of_finite_differences(normalization):
    image = torch.from_numpy(photograph(4, 5)).permute(2, 0, 1)[None].double()
    scores = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    layer = CRFLayer(**SMALL, iterations=3, normalization=normalization).double()

    def run(scores, one, two):
        parameters = {"bilateral_weight": one, "gaussian_weight": two}
        return torch.func.functional_call(layer, parameters, (image, scores))

    weights = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, 0.4)]
    assert torch.autograd.gradcheck(run, (scores, *weights))


def test_a_batch_is_its_images_one_by_one():
    images = [photograph(20, 24, seed) for seed in range(3)]
    scores = [np.log(coarse_probabilities(image, 4, seed)) for seed, image in enumerate(images)]
    layer = CRFLayer(**SMALL)
    x = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images]).float()
    s = torch.stack([torch.from_numpy(each) for each in scores])
    with torch.no_grad():
        together = layer(x, s)
        for i in range(3):
            torch.testing.assert_close(together[i], layer(x[i : i + 1], s[i : i + 1])[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.exp().sum(1), torch.ones(3, 20, 24))


def test_the_lattice_is_the_compiled_one():
    given = features(400, 5, seed=2).float()
    ours, theirs = tensor_lattice.build(given), lattices.build(given[0].numpy())
    assert len(ours.starts) == theirs.points
    values = torch.rand(400, 1)
    shares = theirs.shares * values[:, 0].numpy()[theirs.pixels]
    arrays = (theirs.neighbours, theirs.vertices, theirs.weights)
    expected, _ = lattices.filter_ones[True](theirs.starts, theirs.pixels, shares, *arrays)
    np.testing.assert_allclose(ours.filter(values)[:, 0].numpy(), expected * theirs.gain, rtol=1e-4, atol=1e-5)


def test_half_precision_scores_are_refined_in_single_precision():
    image = torch.from_numpy(photograph(16, 18)).permute(2, 0, 1)[None]
    scores = torch.from_numpy(np.log(coarse_probabilities(photograph(16, 18), 3)))[None]
    layer = CRFLayer(**SMALL)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = layer(image, scores.bfloat16())
    assert found.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(found, layer(image, scores.bfloat16().float()))


def test_training_the_weights_lowers_the_loss():
    image = photograph(24, 32)
    truth = torch.from_numpy((image[..., 0] > 120).astype(np.int64))[None]
    noisy = torch.randn(1, 2, 24, 32, generator=torch.Generator().manual_seed(0))
    noisy[:, 1] += 1.2 * (2 * truth[0] - 1)
    layer = CRFLayer(**{**SMALL, "bilateral_weight": 0.1, "gaussian_weight": 0.1}, iterations=3)
    x, losses = torch.from_numpy(image).permute(2, 0, 1)[None], []
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(5):
        loss = torch.nn.functional.nll_loss(layer(x, noisy), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and layer.bilateral_weight > 0.1


class Reads(TorchFunctionMode):
    """Counts what brings a value from the device to Python, as the caller writes it."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in ("item", "tolist", "__int__", "__float__", "__bool__", "__index__", "cpu", "nonzero"):
            self.names.append(name)
        return function(*args, **(kwargs or {}))


class ScalarReads(TorchDispatchMode):
    """Counts the scalars among them as PyTorch reads them, in inference mode and outside."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("iterations", [1, 7])
@pytest.mark.parametrize("classes", [3, 11])
def test_the_values_read_from_the_device_are_few_whatever_the_iterations_and_classes(iterations, classes):
    image = photograph(18, 22)
    crf = DenseCRF(**SMALL, iterations=iterations, engine="torch", prune_threshold=0)
    with Reads() as reads, ScalarReads() as scalars:
        crf(image, coarse_probabilities(image, classes))
    # of each of the two lattices its features' range and its points' range; then the result
    assert sorted(reads.names) == ["__float__", "__float__", "cpu", "tolist", "tolist"]
    assert scalars.count == 2


def test_the_engine_takes_the_device_that_it_is_given(monkeypatch):
    asked = []
    monkeypatch.setattr("deeplab_lit.crf.layer.own_device", lambda name: asked.append(name) or torch.device("cpu"))
    image = photograph(10, 12)
    for device in ("auto", "cuda:3"):
        DenseCRF(**SMALL, iterations=1, engine="torch", device=device)(image, coarse_probabilities(image, 3))
    assert asked == ["auto", "cuda:3"]


def test_threads_share_two_streams_of_a_gpu(monkeypatch):
    made = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(device) or len(made))
    monkeypatch.setattr(torch.cuda, "stream", lambda chosen: chosen)
    engine._streams.cache_clear()
    gpu = torch.device("cuda", 1)
    engine._stream(gpu)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: engine._stream(gpu), range(64))) <= {1, 2}
    engine._streams.cache_clear()
    assert made == [gpu, gpu] and not hasattr(engine._stream(torch.device("cpu")), "device")

"""The upsampled loss from products with small matrices, against PyTorch's own steps in double precision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

import deeplab_lit.training.loss_by_products as module
from deeplab_lit.training.loss_by_products import cross_entropy_by_products, upsampling
from tests.models.test_multiscale import Memory


def composed(scores, labels, align_corners, weights):
    maps = F.interpolate(scores, labels.shape[-2:], mode="bilinear", align_corners=align_corners)
    weights = None if weights is None else weights.to(maps.dtype)
    return F.cross_entropy(maps, labels.long(), weights, ignore_index=255, reduction="sum")


def with_gradient(function, scores, *arguments):
    x = scores.clone().requires_grad_()
    value = function(x, *arguments)
    return value.detach(), torch.autograd.grad(value * 0.5, x)[0]


@given(
    classes=st.integers(2, 40),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    new=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    spread=st.sampled_from([0.1, 3.0, 30.0]),
    align_corners=st.booleans(),
    weighted=st.booleans(),
    void=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.sampled_from([1, 999, 2**20]),
)
@example(classes=2, size=(1, 1), new=(15, 15), spread=0.1, align_corners=False, weighted=False, void=0.3, block=1)
@settings(max_examples=100, deadline=None)
def test_value_and_gradient_are_pytorchs(classes, size, new, spread, align_corners, weighted, void, block):
    torch.manual_seed(classes)
    scores, labels = spread * torch.randn(2, classes, *size), torch.randint(0, classes, (2, *new), dtype=torch.uint8)
    labels[torch.rand(labels.shape) < void] = 255
    weights = torch.rand(classes) + 0.5 if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        value, grad = with_gradient(cross_entropy_by_products, scores, labels, align_corners, weights)
    expected, of_scores = with_gradient(composed, scores.double(), labels, align_corners, weights)
    assert abs(value - expected) <= 1e-6 * max(expected, 0.1 * spread * labels.numel())
    # the pixels of a score add up to less than the largest partial sum, which single precision rounds
    partial = 0.5 * labels[0].numel() / (size[0] * size[1])
    assert (grad - of_scores).abs().max() <= 2e-6 * max(1.0, float(of_scores.abs().max())) + 6e-8 * partial


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_crop_is_within_a_millionth(align_corners):
    torch.manual_seed(0)
    scores, labels = 3 * torch.randn(2, 21, 41, 41), torch.randint(0, 21, (2, 321, 321))
    labels[:, :40] = 255
    value, grad = with_gradient(cross_entropy_by_products, scores, labels, align_corners, None)
    # PyTorch's gradient in single precision is itself up to 1.5 millionths away from that in double precision
    for x, bound in ((scores.double(), 0.5e-6), (scores, 2e-6)):
        expected, of_scores = with_gradient(composed, x, labels, align_corners, None)
        assert abs(value - expected) <= 0.5e-6 * expected
        assert (grad - of_scores).abs().max() <= bound * of_scores.abs().max()


def test_matrices_are_pytorchs_interpolation():
    for new, old, align_corners in ((321, 41, True), (321, 41, False), (5, 1, True), (1, 5, True), (3, 9, False)):
        column = torch.eye(old, dtype=torch.float64)[None, :, :, None]
        expected = F.interpolate(column, (new, 1), mode="bilinear", align_corners=align_corners)[0, :, :, 0].T
        found = upsampling(new, old, align_corners, torch.device("cpu"))
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


def test_only_the_gradient_of_the_coarse_map_is_kept():
    scores, kept = torch.randn(2, 21, 41, 41, requires_grad=True), []
    labels = torch.randint(0, 21, (2, 321, 321), dtype=torch.uint8)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        cross_entropy_by_products(scores, labels, True, None)
    assert sum(each.untyped_storage().nbytes() for each in kept) == scores.nbytes


def test_no_whole_map_is_stored(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 2**18)
    scores = torch.randn(4, 21, 41, 41, requires_grad=True)
    labels = torch.randint(0, 21, (4, 321, 321), dtype=torch.uint8)
    peaks = []
    for function in (composed, cross_entropy_by_products):
        with Memory() as memory:
            torch.autograd.grad(function(scores, labels, True, None), scores)
        peaks.append(memory.most)
    whole = 4 * 21 * 321 * 321 * 4
    assert peaks[0] > 2 * whole and peaks[1] < whole / 2


def test_autocast_and_tf32_change_nothing(monkeypatch):
    torch.manual_seed(0)
    precisions, whole = [], module._of_block

    def noting(*arguments):
        precisions.append(torch.get_float32_matmul_precision())
        return whole(*arguments)

    monkeypatch.setattr(module, "_of_block", noting)
    scores, labels = 3 * torch.randn(1, 5, 9, 9), torch.randint(0, 5, (1, 65, 65))
    expected = with_gradient(cross_entropy_by_products, scores, labels, True, None)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            found = with_gradient(cross_entropy_by_products, scores, labels, True, None)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(map(torch.equal, found, expected)) and precisions == ["highest", "highest"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_not_finite_stays_so(value):
    scores = torch.randn(1, 5, 4, 4)
    scores[0, 2, 1, 1] = float(value)
    assert not cross_entropy_by_products(scores, torch.zeros(1, 20, 20, dtype=torch.uint8), True, None).isfinite()


def test_labels_that_no_class_has_are_an_error():
    labels = torch.zeros(1, 20, 20, dtype=torch.uint8)
    labels[0, 3, 4] = 7
    with pytest.raises(IndexError, match="label 7 is not one of 5 classes"):
        cross_entropy_by_products(torch.randn(1, 5, 4, 4), labels, True, None)


def test_it_runs_without_values():
    scores, labels = torch.randn(2, 5, 4, 4, device="meta"), torch.zeros(2, 20, 20, dtype=torch.uint8, device="meta")
    value, grad = with_gradient(cross_entropy_by_products, scores, labels, True, None)
    assert value.shape == () and grad.shape == scores.shape


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_labels_stay_as_they_are(kind):
    labels = torch.full((1, 20, 20), 255, dtype=kind)
    before = labels.clone()
    for weights in (None, torch.ones(5)):
        assert cross_entropy_by_products(torch.randn(1, 5, 4, 4), labels, True, weights) == 0
    assert torch.equal(labels, before)

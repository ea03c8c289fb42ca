"""Cross-entropy without upsampled maps, against PyTorch's own steps in double precision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab_lit.training.losses import segmentation_loss, summed_cross_entropy
from deeplab_lit.training.upsampled_loss import is_upsampled_loss_fast


def both(scores, labels, align_corners, weights):
    results = []
    for x, w in ((scores, weights), (scores.double(), None if weights is None else weights.double())):
        x = x.clone().requires_grad_()
        assert is_upsampled_loss_fast(x, labels) == (x.dtype is torch.float32)
        if x.dtype is torch.float32:
            value = summed_cross_entropy(x, labels, align_corners, w)
        else:
            z = F.interpolate(x, labels.shape[-2:], mode="bilinear", align_corners=align_corners)
            value = F.cross_entropy(z, labels, w, ignore_index=255, reduction="sum")
        results.append((value.double(), torch.autograd.grad(value * 0.5, x)[0].double()))
    return results


@given(
    classes=st.integers(2, 40),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    more=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    spread=st.sampled_from([0.1, 3.0, 60.0]),
    align_corners=st.booleans(),
    weighted=st.booleans(),
    void=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_value_and_gradient_are_pytorchs(classes, size, more, spread, align_corners, weighted, void):
    torch.manual_seed(classes)
    scores = spread * torch.randn(2, classes, *size)
    labels = torch.randint(0, classes, (2, size[0] + more[0], size[1] + more[1]))
    labels[torch.rand(labels.shape) < void] = 255
    weights = torch.rand(classes) + 0.5 if weighted else None
    found, expected = both(scores, labels, align_corners, weights)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5 * labels.numel(), rtol=2e-5)
    assert found[1].sub(expected[1]).abs().max() <= 1e-4 * max(1.0, expected[1].abs().max())


def test_the_number_of_threads_changes_nothing():
    torch.manual_seed(0)
    scores, labels = torch.randn(1, 21, 9, 9), torch.randint(0, 21, (1, 65, 65))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            x = scores.clone().requires_grad_()
            value = summed_cross_entropy(x, labels, True)
            results.append((value, torch.autograd.grad(value, x)[0]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


def test_labels_that_no_class_has_are_an_error():
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[0, 3, 4] = 7
    with pytest.raises(IndexError, match="label 7 is not one of 5 classes"):
        summed_cross_entropy(torch.randn(1, 5, 4, 4), labels, True)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_not_finite_stays_so(value):
    scores = torch.randn(1, 5, 4, 4)
    scores[0, 2, 1, 1] = float(value)
    loss = segmentation_loss([scores], torch.zeros(1, 20, 20, dtype=torch.long), "full")
    assert not loss.isfinite()


def test_labels_in_bytes_are_the_same_labels():
    torch.manual_seed(0)
    scores, labels = torch.randn(1, 21, 9, 9), torch.randint(0, 21, (1, 65, 65))
    labels[0, 9:20] = 255
    assert torch.equal(summed_cross_entropy(scores, labels, True), summed_cross_entropy(scores, labels.byte(), True))

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from deeplab_lit.training.losses import label_weights, segmentation_loss, shrink_labels


def test_321_to_41_is_every_eighth_label():
    mask = torch.randint(0, 21, (2, 321, 321))
    assert torch.equal(shrink_labels(mask, (41, 41)), mask[:, ::8, ::8])
    assert torch.equal(shrink_labels(mask, (21, 21)), mask[:, ::16, ::16])


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.booleans())
@settings(max_examples=100, deadline=None)
def test_shrinking_takes_the_nearest_pixel_and_invents_no_class(height, width, side, align_corners):
    # the mask names its own pixels, so the value says which one was taken
    mask = torch.arange(height * width).view(1, height, width)
    found = shrink_labels(mask, (side, side), align_corners)[0]
    rows, columns = found // width, found % width
    for taken, old in ((rows[:, 0], height), (columns[0], width)):
        i = np.arange(side)
        exact = i * (old - 1) / max(side - 1, 1) if align_corners else (i + 0.5) * old / side - 0.5
        assert (np.abs(taken.numpy() - exact) <= 0.5 + 1e-9).all()


@pytest.mark.parametrize("resolution", ["map", "full"])
def test_loss_is_cross_entropy_over_labelled_pixels(resolution):
    torch.manual_seed(0)
    scores, mask = torch.randn(2, 5, 5, 7), torch.randint(0, 5, (2, 33, 49))
    mask[0, :20] = 255
    found = segmentation_loss([scores], mask, resolution)
    if resolution == "map":
        labels, logits = mask[:, ::8, ::8], scores
    else:
        labels, logits = mask, F.interpolate(scores, (33, 49), mode="bilinear", align_corners=True)
    p = torch.log_softmax(logits.double(), 1)
    total, count = 0.0, 0
    for n in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                if labels[n, y, x] != 255:
                    total, count = total - float(p[n, labels[n, y, x], y, x]), count + 1
    assert float(found) == pytest.approx(total / count, rel=1e-5)


def test_a_batch_without_labels_gives_zero_loss_and_zero_gradients():
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss([scores], torch.full((1, 25, 25), 255))
    loss.backward()
    assert float(loss.detach()) == 0 and not scores.grad.any()


def test_class_weights_are_pytorchs():
    torch.manual_seed(1)
    scores, mask = torch.randn(2, 4, 9, 9), torch.randint(0, 4, (2, 65, 65))
    mask[0, :30] = 255
    weights = torch.tensor([0.1, 1.0, 3.0, 0.0])
    expected = F.cross_entropy(scores, mask[:, ::8, ::8], weights, ignore_index=255)
    torch.testing.assert_close(segmentation_loss([scores], mask, class_weights=weights), expected)
    # a batch that holds nothing but classes of weight 0 has nothing to say
    assert float(segmentation_loss([scores], torch.full_like(mask, 3), class_weights=weights)) == 0


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_processes_that_share_a_batch_add_up_to_one(weights):
    torch.manual_seed(2)
    scores, mask = torch.randn(4, 3, 5, 5, requires_grad=True), torch.randint(0, 3, (4, 33, 33))
    mask[0] = 255  # one process has fewer labelled pixels than the other
    whole = torch.autograd.grad(segmentation_loss([scores], mask, class_weights=weights), scores)[0]
    labels = mask[:, ::8, ::8]
    count = (labels != 255).float() if weights is None else torch.where(labels != 255, weights[labels % 255], 0.0)
    mean = count.sum() / 2
    parts = []
    for rank in range(2):
        mine = slice(2 * rank, 2 * rank + 2)
        loss = segmentation_loss([scores[mine]], mask[mine], class_weights=weights, weights=mean[None])
        parts.append(torch.autograd.grad(loss, scores)[0])
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)  # processes average their gradients


SIZES = [(5, 5), None, (9, 3), (5, 5)]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("classes", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_weights_are_those_of_the_labels_that_each_map_meets(align_corners, classes):
    torch.manual_seed(3)
    mask = torch.randint(0, 3, (2, 33, 33))
    mask[:, 4:20] = 255
    found = label_weights(mask.byte(), SIZES, align_corners, classes)
    for weight, size in zip(found, SIZES, strict=True):
        labels = mask if size is None else shrink_labels(mask, size, align_corners)
        known = labels[labels != 255]
        assert float(weight) == (len(known) if classes is None else float(classes[known].double().sum()))
    assert found.dtype is torch.float32
    assert label_weights(torch.full_like(mask, 255), SIZES, align_corners, classes).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("resolution", ["map", "full"])
def test_bytes_are_the_same_labels(resolution):
    maps, mask = [torch.randn(2, 3, 5, 5), torch.randn(2, 3, 3, 3)], torch.randint(0, 3, (2, 33, 33))
    mask[0, :9] = 255
    expected = segmentation_loss(maps, mask, resolution)
    assert torch.equal(segmentation_loss(maps, mask.byte(), resolution), expected)
    weights = label_weights(mask, [None if resolution == "full" else each.shape[-2:] for each in maps])
    assert torch.equal(segmentation_loss(maps, mask, resolution, weights=weights), expected)


class Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function.__name__.split(".")[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("resolution", ["map", "full"])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
@pytest.mark.parametrize("numba", [True, False])
def test_a_later_step_reads_no_value_and_makes_no_positions(resolution, weights, numba, monkeypatch):
    monkeypatch.setattr("deeplab_lit.training.upsampled_loss.has_numba", lambda: numba)
    maps = [torch.randn(2, 3, side, side, requires_grad=True) for side in (5, 5, 3)]
    mask = torch.randint(0, 3, (2, 33, 33), dtype=torch.uint8)
    segmentation_loss(maps, mask, resolution, True, weights).backward()
    with Names() as names:
        segmentation_loss(maps, mask, resolution, True, weights).backward()
    copied = {"lift_fresh"} if not numba else set()  # numba's results become tensors
    assert not names.seen & {"_local_scalar_dense", "floor", "nonzero", "is_nonzero", *copied}


def slow_means(scores, labels, pixels, class_weights, balanced):
    """The loss of a map, pixel by pixel in double precision; scores have the size of the labels."""
    p = torch.log_softmax(scores.double(), 1)
    sums = {True: [0.0, 0.0], False: [0.0, 0.0]}  # of background and of the rest: weighted losses, weights
    for n, y, x in np.ndindex(labels.shape):
        label = int(labels[n, y, x])
        if label != 255:
            weight = float(pixels[n, y, x]) * (1 if class_weights is None else float(class_weights[label]))
            of = sums[label == 0]
            of[0], of[1] = of[0] - weight * float(p[n, label, y, x]), of[1] + weight
    if balanced:
        return sum(0.5 * total / weight for total, weight in sums.values() if weight)
    total, weight = (sum(of[i] for of in sums.values()) for i in (0, 1))
    return total / weight if weight else 0.0


@pytest.mark.parametrize("resolution", ["map", "full"])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 1.0, 2.0])])
@pytest.mark.parametrize("weighted", [True, False])
def test_means_over_parts_and_weights_of_pixels_are_the_slow_ones(resolution, balanced, class_weights, weighted):
    torch.manual_seed(4)
    maps, mask = [torch.randn(2, 3, 5, 5), torch.randn(2, 3, 3, 3)], torch.randint(0, 3, (2, 33, 33))
    mask[0, :20] = 255
    pixels = torch.rand(2, 33, 33) if weighted else None
    found = segmentation_loss(
        maps, mask.byte(), resolution, True, class_weights, balanced=balanced, pixel_weights=pixels
    )
    expected = 0.0
    for scores in maps:
        step = 32 // (scores.shape[-1] - 1) if resolution == "map" else 1
        upsampled = F.interpolate(scores, (33, 33), mode="bilinear", align_corners=True)
        met = scores if resolution == "map" else upsampled
        weights = torch.ones(2, 33, 33) if pixels is None else pixels
        sampled = (each[:, ::step, ::step] for each in (mask, weights))
        expected += slow_means(met, *sampled, class_weights, balanced)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label", [0, 1])
def test_a_batch_without_foreground_or_background_has_half_the_mean_of_what_it_has(label):
    scores = torch.randn(2, 3, 5, 5, requires_grad=True)
    mask = torch.full((2, 33, 33), label)
    mask[:, :9] = 255
    plain = segmentation_loss([scores], mask)
    torch.testing.assert_close(segmentation_loss([scores], mask, balanced=True), plain / 2)
    loss = segmentation_loss([scores], torch.full_like(mask, 255), balanced=True)
    assert float(loss.detach()) == 0 and not torch.autograd.grad(loss, scores)[0].any()


def test_balanced_processes_that_share_a_batch_add_up_to_one():
    torch.manual_seed(5)
    scores, mask = torch.randn(4, 3, 5, 5, requires_grad=True), torch.randint(0, 3, (4, 33, 33))
    mask[:2][mask[:2] > 0] = 0  # one process has no foreground at all
    pixels = torch.rand(4, 33, 33)
    settings = {"class_weights": torch.tensor([0.5, 1.0, 2.0]), "balanced": True}
    whole = torch.autograd.grad(segmentation_loss([scores], mask, pixel_weights=pixels, **settings), scores)[0]
    mine = [slice(0, 2), slice(2, 4)]
    weights = [label_weights(mask[of], [(5, 5)], pixel_weights=pixels[of], **settings) for of in mine]
    assert weights[0].shape == (1, 2) and float(weights[0][0, 1]) == 0
    mean, parts = sum(weights) / 2, []
    for of in mine:
        loss = segmentation_loss([scores[of]], mask[of], weights=mean, pixel_weights=pixels[of], **settings)
        parts.append(torch.autograd.grad(loss, scores)[0])
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)


@pytest.mark.parametrize("resolution", ["map", "full"])
def test_the_gradient_of_weighted_pixels_is_autograds(resolution):
    torch.manual_seed(6)
    scores, mask, pixels = torch.randn(2, 3, 5, 5), torch.randint(0, 3, (2, 33, 33)), torch.rand(2, 33, 33)
    mask[1, 7:20] = 255
    ours, plain = scores.clone().requires_grad_(), scores.double().requires_grad_()
    segmentation_loss([ours], mask, resolution, True, pixel_weights=pixels, balanced=True).backward()
    met, labels, weights = plain, mask[:, ::8, ::8], pixels[:, ::8, ::8]
    if resolution == "full":
        met, labels, weights = F.interpolate(plain, (33, 33), mode="bilinear", align_corners=True), mask, pixels
    each = F.cross_entropy(met, labels, ignore_index=255, reduction="none") * weights
    for part in (labels == 0, (labels != 0) & (labels != 255)):
        (each[part].sum() / weights[part].sum() / 2).backward(retain_graph=True)
    torch.testing.assert_close(ours.grad.double(), plain.grad, atol=1e-7, rtol=1e-4)

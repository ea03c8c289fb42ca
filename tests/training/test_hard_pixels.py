import pytest
import torch
import torch.nn.functional as F

from deeplab_lit.training.hard_pixels import hard_labels
from deeplab_lit.training.losses import label_weights, segmentation_loss


def slow(scores, labels, threshold, min_kept):
    """By a sort of the pixels of each image; scores have the size of the labels."""
    kept = torch.full_like(labels, 255)
    for n, label in enumerate(labels):
        pixels = []
        for y in range(label.shape[0]):
            for x in range(label.shape[1]):
                if label[y, x] != 255:
                    pixels.append((float(scores[n, :, y, x].softmax(0)[label[y, x]]), y, x))
        for place, (p, y, x) in enumerate(sorted(pixels)):
            if p < threshold or place < min_kept:
                kept[n, y, x] = label[y, x]
    return kept


@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("min_kept", [0, 1, 40, 10_000])
@pytest.mark.parametrize("upsampled", [True, False])
def test_the_pixels_are_those_of_a_sort(threshold, min_kept, upsampled):
    torch.manual_seed(0)
    size = (9, 11)
    scores, labels = 3 * torch.randn(3, 4, *((5, 5) if upsampled else size)), torch.randint(0, 4, (3, *size))
    labels[0, :8] = 255  # fewer labelled pixels than 40
    labels[1] = 255
    met = F.interpolate(scores, size, mode="bilinear", align_corners=True)
    found = hard_labels(scores, labels.byte(), True, threshold, min_kept)
    assert torch.equal(found, slow(met, labels, threshold, min_kept).byte())


def test_processes_that_share_a_batch_add_up_to_one():
    torch.manual_seed(1)
    scores, mask = torch.randn(4, 3, 9, 9, requires_grad=True), torch.randint(0, 3, (4, 9, 9))
    with torch.no_grad():
        scores[2:] *= 5  # one process has few hard pixels

    def gradient(of, weights=None):
        hard = hard_labels(scores[of], mask[of], True, 0.3, 5)
        weights = label_weights([hard], [(9, 9)]) if weights is None else weights
        loss = segmentation_loss([scores[of]], [hard], weights=weights)
        return torch.autograd.grad(loss, scores)[0], label_weights([hard], [(9, 9)])

    whole, count = gradient(slice(0, 4))
    (_, one), (_, other) = (gradient(of) for of in (slice(0, 2), slice(2, 4)))
    assert one + other == count and one != other
    parts = [gradient(of, (one + other) / 2)[0] for of in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)


def test_a_score_that_is_not_a_number_does_not_pass_as_easy():
    scores, labels = torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long)
    scores[0, 0] = 9
    scores[0, 0, 1, 1] = torch.nan
    found = hard_labels(scores, labels, True, 0.5, 0)
    assert found[0, 1, 1] == 0 and (found == 255).sum() == 8
    assert segmentation_loss([scores], [found]).isnan()

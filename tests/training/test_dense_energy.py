import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deeplab_lit.training.dense_energy import dense_energy
from tests.crf.test_dense import photograph

BOXES = torch.tensor([[0, 40, 0, 52], [0, 33, 8, 52]])  # the second crop is padded at the bottom and at the left


def case():
    torch.manual_seed(0)
    images = torch.from_numpy(np.stack([photograph(40, 52, seed) for seed in (0, 1)])).permute(0, 3, 1, 2)
    return 2 * torch.randn(2, 3, 6, 7), images


def exact(scores, images, boxes, rgb_std, xy_std, scale):
    """The formula with every pair of pixels, in double precision."""
    whole = F.interpolate(scores.double(), images.shape[-2:], mode="bilinear", align_corners=True).softmax(1)
    height, width = (int(side * scale) for side in images.shape[-2:])
    small = F.interpolate(whole, (height, width), mode="bilinear", align_corners=False)
    total = 0.0
    for n in range(len(images)):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        source = (rows * images.shape[-2] // height, columns * images.shape[-1] // width)
        top, bottom, left, right = boxes[n].tolist()
        real = (source[0] >= top) & (source[0] < bottom) & (source[1] >= left) & (source[1] < right)
        place = torch.stack([rows, columns], -1).reshape(-1, 2).double() / (xy_std * scale)
        colour = images[n].double()[:, source[0], source[1]].flatten(1).T / rgb_std
        kernel = torch.exp(-0.5 * torch.cdist(torch.cat([place, colour], 1), torch.cat([place, colour], 1)) ** 2)
        s = (small[n] * real).flatten(1)
        total = total - ((s @ kernel) * s).sum()
    return total / len(images)


@pytest.mark.parametrize("lattice", ["compiled", "tensor"])
@pytest.mark.parametrize("settings", [(15.0, 100.0, 0.5), (15.0, 20.0, 0.5), (30.0, 100.0, 1.0)])
def test_value_and_gradient_are_proportional_to_those_of_all_pairs(monkeypatch, lattice, settings):
    """The lattice gives 0.5 to 0.6 of the value; the gradient is as short, and has the direction (cosine 0.98)."""
    if lattice == "tensor":
        monkeypatch.setattr("deeplab_lit.training.dense_energy._is_compiled", lambda *_: False)
    scores, images = case()
    ours, plain = scores.clone().requires_grad_(), scores.clone().double().requires_grad_()
    found, expected = dense_energy(ours, images, BOXES, *settings), exact(plain, images, BOXES, *settings)
    found.backward()
    expected.backward()
    assert float(expected.detach()) < -1 and 0.5 < float(found.detach() / expected.detach()) < 0.6
    one, other = ours.grad.double().flatten(), plain.grad.flatten()
    assert float(one @ other / one.norm() / other.norm()) > 0.98
    assert 0.5 < float(one.norm() / other.norm()) < 0.6


def test_padding_takes_no_part():
    scores, images = case()
    before = dense_energy(scores[1:], images[1:], BOXES[1:])
    images[1, :, 33:] = 200
    images[1, :, :, :8] = 3
    after = dense_energy(scores[1:], images[1:], BOXES[1:])
    assert float(after) == pytest.approx(float(before), rel=1e-3)
    assert float(dense_energy(scores[1:], images[1:], BOXES[:1])) < 1.05 * float(after)


def test_the_mean_over_images_does_not_depend_on_the_batch():
    scores, images = case()
    both = dense_energy(scores, images, BOXES)
    each = [dense_energy(scores[n : n + 1], images[n : n + 1], BOXES[n : n + 1]) for n in range(2)]
    assert float(both) == pytest.approx(float(sum(each)) / 2, rel=1e-6)

import numpy as np
import pytest

from deeplab_lit.crf.bilateralfilter import bilateralfilter, bilateralfilter_batch
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph


def exact(image, seg, sigma_rgb, sigma_xy):
    """The sum over all pairs of pixels of an image (3, H, W) and its channels (K, H, W)."""
    rows, columns = np.mgrid[: image.shape[1], : image.shape[2]]
    x = np.stack([columns.ravel() / sigma_xy, rows.ravel() / sigma_xy, *(image.reshape(3, -1) / sigma_rgb)], 1)
    kernel = np.exp(-0.5 * ((x[:, None] - x[None]) ** 2).sum(2))
    return (seg.reshape(len(seg), -1) @ kernel).reshape(seg.shape)


def case(images=2, classes=4, height=24, width=30):
    rng = np.random.default_rng(0)
    pictures = np.stack([photograph(height, width, seed) for seed in range(images)]).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pictures, np.float32), rng.random((images, classes, height, width), np.float32)


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize(("sigma_rgb", "sigma_xy"), [(15, 50), (15, 8), (40, 100)])
def test_it_is_proportional_to_the_sum_over_all_pairs(monkeypatch, numba, sigma_rgb, sigma_xy):
    """The lattice gives 0.5 to 0.6 of the sum, the same share everywhere up to a deviation of 17 %."""
    monkeypatch.setattr("deeplab_lit.crf.bilateralfilter.has_numba", lambda: numba)
    images, segs = case()
    out = np.full(segs.size, np.nan, np.float32)
    bilateralfilter_batch(images.ravel(), segs.ravel(), out, 2, 4, 24, 30, sigma_rgb, sigma_xy)
    expected = np.stack([exact(*pair, sigma_rgb, sigma_xy) for pair in zip(images, segs, strict=True)])
    share = out.reshape(segs.shape) / expected
    assert 0.5 < out.mean() / expected.mean() < 0.6
    assert share.std() < 0.17 * share.mean()
    assert np.corrcoef(out, expected.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(("sigma_rgb", "sigma_xy"), [(15, 50), (5, 20)])
def test_it_is_the_filter_of_pydensecrf(sigma_rgb, sigma_xy):
    """The filter that others compile has the lattice of pydensecrf, whose filter a step of its mean field shows."""
    densecrf = pytest.importorskip("pydensecrf.densecrf")
    images, segs = case(1, 4, 60, 80)
    segs /= segs.sum(1, keepdims=True)
    out, weight = np.empty_like(segs), 0.01
    bilateralfilter_batch(images, segs, out, 1, 4, 60, 80, sigma_rgb, sigma_xy)
    field, unary = densecrf.DenseCRF2D(80, 60, 4), -np.log(segs.reshape(4, -1))
    field.setUnaryEnergy(unary)
    field.addPairwiseBilateral(
        sxy=sigma_xy, srgb=sigma_rgb, rgbim=np.ascontiguousarray(images[0].transpose(1, 2, 0), np.uint8), compat=weight,
        normalization=densecrf.NO_NORMALIZATION,
    )  # fmt: skip
    message = np.log(np.array(field.inference(1))) + unary  # up to a constant of each pixel
    message, found = (each - each.mean(0) for each in (message / weight, out.reshape(4, -1)))
    assert np.abs(found).max() > 3
    np.testing.assert_allclose(found, message, atol=1e-3)


def test_channels_and_images_are_filtered_each_by_itself():
    images, segs = case(3, 5)
    whole, one = np.empty_like(segs), np.empty((24, 30), np.float32)
    bilateralfilter_batch(images, segs, whole, 3, 5, 24, 30, 15.0, 50.0)
    bilateralfilter(images[1], segs[1, 2].copy(), one, 24, 30, 15.0, 50.0)
    np.testing.assert_allclose(one, whole[1, 2], rtol=1e-6)


def test_wrong_arrays_are_told():
    images, segs = case(1)
    out = np.empty_like(segs)
    with pytest.raises(UserError, match="segs is float64.*contiguous float32 array of 1 x 4 x 24 x 30 numbers"):
        bilateralfilter_batch(images, segs.astype(float), out, 1, 4, 24, 30, 15, 50)
    with pytest.raises(UserError, match=r"out is float32 \(1, 3, 24, 30\)"):
        bilateralfilter_batch(images, segs, out[:, :3], 1, 4, 24, 30, 15, 50)
    with pytest.raises(UserError, match="images is list"):
        bilateralfilter_batch([1.0], segs, out, 1, 4, 24, 30, 15, 50)
    with pytest.raises(UserError, match="sigma_rgb=0, sigma_xy=50"):
        bilateralfilter_batch(images, segs, out, 1, 4, 24, 30, 0, 50)

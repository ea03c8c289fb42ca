"""Crops of images with any number of channels of 8 or 16 bits."""

import numpy as np
import pytest

from deeplab_lit.data import crops
from deeplab_lit.data.crops import scaled_crop
from deeplab_lit.data.labels import VOID

SCALED, CORNER, SIDE = (31, 52), (4, 7), 40


def example(channels, bits):
    rng = np.random.default_rng(channels)
    image = rng.integers(0, 2**bits, (23, 37, channels)).astype(np.uint8 if bits == 8 else np.uint16)
    return image, rng.integers(0, 5, (23, 37)).astype(np.uint8)


def bilinear(image, scaled):
    """The image at another size by the definition, without aligned corners, in double precision."""
    result = image.astype(np.float64)
    for axis, new in enumerate(scaled):
        old = image.shape[axis]
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        first = np.floor(place).astype(int)
        share = (place - first).reshape([-1 if i == axis else 1 for i in range(3)])
        after = np.minimum(first + 1, old - 1)
        result = result.take(first, axis) * (1 - share) + result.take(after, axis) * share
    return result


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (2, 16), (3, 16), (4, 8), (4, 16), (6, 16)])
def test_they_are_those_of_the_resized_image(monkeypatch, channels, bits, mirrored, compiled):
    if not compiled:
        monkeypatch.setattr(crops, "has_numba", lambda: False)
    image, mask = example(channels, bits)
    fill = tuple(range(10, 10 + channels)) if bits == 8 else tuple(range(40000, 40000 + channels))
    crop, labels = scaled_crop(image, mask, SCALED, CORNER, SIDE, mirrored, fill)
    expected = np.empty((SIDE, SIDE, channels))
    expected[:] = fill
    seen = bilinear(image, SCALED)[CORNER[0] :, CORNER[1] :][:SIDE, :SIDE]
    expected[: seen.shape[0], : seen.shape[1]] = seen
    expected = expected[:, ::-1] if mirrored else expected
    assert crop.dtype == image.dtype and crop.shape == expected.shape
    # OpenCV's shares have 11 bits for bytes
    assert np.abs(crop - expected).max() <= (0.51 if compiled else 1.5 if bits == 8 else 1)
    beyond = labels[SCALED[0] - CORNER[0] :]
    assert len(beyond) and (beyond == VOID).all()


def test_the_first_three_channels_are_those_of_the_rgb_image():
    image, mask = example(4, 8)
    four, of_four = scaled_crop(image, mask, SCALED, CORNER, SIDE, True, (1, 2, 3, 4))
    three, of_three = scaled_crop(np.ascontiguousarray(image[..., :3]), mask, SCALED, CORNER, SIDE, True, (1, 2, 3))
    np.testing.assert_array_equal(four[..., :3], three)
    np.testing.assert_array_equal(of_four, of_three)

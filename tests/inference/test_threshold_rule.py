"""The rule for the threshold: outlines that lie on the edges of images."""

import numpy as np
import pytest

from deeplab_lit.inference.threshold_rule import automatic_threshold, contrast_by_threshold

RNG = np.random.default_rng(0)


def disc(radius, size=(60, 80)):
    """An image of a disc, and an activation that falls from its middle on; the disc's rim is at half of it."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(rows - size[0] / 2, columns - size[1] / 2)
    image = np.where(distance[..., None] < radius, [200, 60, 40], [60, 90, 160]) + RNG.integers(-20, 20, (*size, 3))
    return image.astype(np.uint8), np.clip(1 - distance / (2 * radius), 0, 1).astype(np.float32)


def test_it_counts_the_neighbours_on_both_sides_of_an_outline():
    image, activation = disc(15, (20, 24))
    found = contrast_by_threshold(image, activation)
    pairs = [((y, x), (y + dy, x + dx)) for y, x in np.ndindex(20, 24) for dy, dx in ((1, 0), (0, 1))]
    pairs = [(a, b) for a, b in pairs if b[0] < 20 and b[1] < 24]
    contrast = [np.abs(image[a].astype(int) - image[b]).max() for a, b in pairs]
    for place in (11, 77, 100, 143):  # no activation is one of these thresholds
        threshold = place / 200 + 1e-6
        crossing = [(activation[a] > threshold) != (activation[b] > threshold) for a, b in pairs]
        assert found[1, place] == sum(crossing)
        assert found[0, place] == pytest.approx(np.dot(crossing, contrast) / np.mean(contrast), rel=1e-5)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_it_finds_the_rims_of_objects_whatever_their_activations(power):
    discs = [disc(radius) for radius in (10, 15, 20)]
    found = automatic_threshold(contrast_by_threshold(image, activation**power) for image, activation in discs)
    assert found == pytest.approx(0.5**power, abs=0.03)


def test_large_maps_are_compared_as_small_ones():
    image, activation = disc(60, (240, 320))
    assert automatic_threshold([contrast_by_threshold(image, activation)]) == pytest.approx(0.5, abs=0.03)
    # maps of another size than the image
    assert automatic_threshold([contrast_by_threshold(image, activation[::4, ::4])]) == pytest.approx(0.5, abs=0.04)


def test_without_an_outline_there_is_no_threshold():
    image, activation = disc(15)
    assert automatic_threshold([]) is None
    assert automatic_threshold([contrast_by_threshold(image, 0 * activation)]) is None
    assert automatic_threshold([contrast_by_threshold(0 * image, activation)]) is None

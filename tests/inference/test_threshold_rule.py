"""The rule for the threshold: the mask of a threshold separates the colours of an image."""

import cv2
import numpy as np
import pytest

from deeplab_lit.inference.threshold_rule import automatic_threshold, separation_by_threshold

RNG = np.random.default_rng(0)


def disc(radius, size=(60, 80)):
    """An image of a disc, and an activation that falls from its middle on; the disc's rim is at half of it."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(rows - size[0] / 2, columns - size[1] / 2)
    image = np.where(distance[..., None] < radius, [200, 60, 40], [60, 90, 160]) + RNG.integers(-20, 20, (*size, 3))
    return image.astype(np.uint8), np.clip(1 - distance / (2 * radius), 0, 1).astype(np.float32)


def test_it_is_the_share_of_the_variance_that_the_two_means_have():
    image, activation = disc(15, (20, 24))
    colours = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    activation = np.round(activation * 200).astype(np.float32) / np.float32(
        200
    )  # a pixel at a threshold is not above it
    found = separation_by_threshold(image, activation)
    for place in (11, 15, 27, 77, 100, 143):
        above = activation.ravel() > np.float32(place / 200)
        means = np.where(above[:, None], colours[above].mean(0), colours[~above].mean(0))
        whole, within = (((colours - each) ** 2).sum() for each in (colours.mean(0), means))
        assert found[place] == pytest.approx(1 - within / whole, rel=1e-4)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_it_finds_the_rims_of_objects_whatever_their_activations(power):
    discs = [disc(radius) for radius in (10, 15, 20)]
    found = automatic_threshold(separation_by_threshold(image, activation**power) for image, activation in discs)
    assert found == pytest.approx(0.5**power, abs=0.03)


def test_it_finds_a_good_threshold_of_maps_whose_outlines_lie_on_no_edge():
    """As those of classifiers: wide, and beside the middle of the object."""
    rows, columns = np.mgrid[:120, :160]
    separations, inside, maps = [], [], []
    for shift, radius in ((8, 25), (-10, 30), (6, 40)):
        distance = np.hypot(rows - 60, columns - 80)
        object_ = distance < radius
        image = np.where(object_[..., None], [200, 60, 40], [60, 90, 160]) + RNG.integers(-50, 50, (120, 160, 3))
        activation = np.exp(-0.5 * (np.hypot(rows - 60 - shift, columns - 80 - shift) / radius) ** 2)
        separations.append(separation_by_threshold(image.astype(np.uint8), activation.astype(np.float32)))
        inside.append(object_)
        maps.append(activation)
    truth, activations = np.stack(inside), np.stack(maps)

    def iou(threshold):
        mask = activations > threshold
        return (mask & truth).sum() / (mask | truth).sum()

    found = automatic_threshold(separations)
    assert iou(found) > max(iou(each / 100) for each in range(5, 91)) - 0.01
    assert iou(0.25) < iou(found) - 0.1


def test_the_threshold_is_within_its_bounds():
    image, activation = disc(15)
    assert automatic_threshold([separation_by_threshold(image, activation**8)]) == 0.05
    assert automatic_threshold([separation_by_threshold(image, 0.9 + 0.1 * activation)]) == 0.90


def test_large_maps_are_compared_as_small_ones():
    image, activation = disc(60, (240, 320))
    assert automatic_threshold([separation_by_threshold(image, activation)]) == pytest.approx(0.5, abs=0.03)
    # maps of another size than the image
    small = np.ascontiguousarray(activation[::4, ::4])
    assert automatic_threshold([separation_by_threshold(image, small)]) == pytest.approx(0.5, abs=0.04)


def test_without_two_sides_there_is_no_threshold():
    image, activation = disc(15)
    assert automatic_threshold([]) is None
    assert automatic_threshold([separation_by_threshold(image, 0 * activation)]) is None
    assert automatic_threshold([separation_by_threshold(image, 0 * activation + 1)]) is None
    assert automatic_threshold([separation_by_threshold(0 * image, activation)]) is None

"""Pixels of regions."""

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.regions import Bitmap, Ellipse, Polygon
from deeplab_lit.utils.errors import UserError
from tests.data.exports import base64_png, blocks, runs


def test_polygons_between_pixels_cover_the_pixels_inside():
    inside, covered = blocks(0) == 1, np.zeros((24, 32), bool)
    for y, left, right in runs(inside):
        region = Polygon(((left, y), (right, y), (right, y + 1), (left, y + 1)))
        covered |= region.pixels(24, 32, "it")
    np.testing.assert_array_equal(covered, inside)


def test_a_polygon_is_cut_at_the_border():
    covered = Polygon(((-10, 5), (40.5, 5), (40.5, 60), (-10, 60))).pixels(24, 32, "it")
    assert covered[5:].all() and not covered[:5].any()
    with pytest.raises(UserError, match=r"it has a polygon that leaves its image \(32x24\).* pixels: mend it\.$"):
        Polygon(((0, 0), (9e8, 5), (3, 60))).pixels(24, 32, "it")
    with pytest.raises(UserError, match="it has a polygon without three points"):
        Polygon(((0, 0), (9, 5))).pixels(24, 32, "it")


def test_an_ellipse_covers_the_pixels_whose_centres_it_holds():
    turned = Ellipse((16, 12), (10, 4), 30).pixels(24, 32, "it")
    radians = np.deg2rad(30)
    for (row, column), found in np.ndenumerate(turned):
        x, y = column + 0.5 - 16, row + 0.5 - 12
        # clockwise on a screen, where y points down
        along, across = x * np.cos(radians) + y * np.sin(radians), y * np.cos(radians) - x * np.sin(radians)
        assert found == ((along / 10) ** 2 + (across / 4) ** 2 <= 1)
    assert turned[15, 21] and not turned[8, 21]  # the long axis falls to the right
    assert Ellipse((1, 1), (0.9, 0.9)).pixels(24, 32, "it").sum() == 4
    with pytest.raises(UserError, match="it has the radii 0 and 3: they are more than 0"):
        Ellipse((1, 1), (0, 3)).pixels(24, 32, "it")


def test_a_bitmap_lies_at_its_corner_and_is_cut():
    inside = blocks(1)[:8, :12] > 0
    covered = Bitmap(base64_png(inside), (3, 2)).pixels(24, 32, "it")
    np.testing.assert_array_equal(covered[2:10, 3:15], inside)
    assert covered.sum() == inside.sum()
    covered = Bitmap(base64_png(inside), (-4, 20)).pixels(24, 32, "it")
    np.testing.assert_array_equal(covered[20:, :8], inside[:4, 4:])
    assert covered.sum() == inside[:4, 4:].sum()
    covered = Bitmap(base64_png(inside), (0, 0), (5, 3)).pixels(24, 32, "it")
    assert covered.sum() == inside[:3, :5].sum()
    assert not Bitmap(base64_png(inside), (40, 40)).pixels(24, 32, "it").any()


def test_a_bitmap_of_black_on_transparent_covers_what_is_opaque():
    import base64
    import io

    inside = blocks(2) == 2
    rgba = np.zeros((24, 32, 4), np.uint8)
    rgba[..., 3] = inside * 255
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    np.testing.assert_array_equal(Bitmap(text, is_whole=True).pixels(24, 32, "it"), inside)
    with pytest.raises(UserError, match="it has a bitmap of 32x24 pixels, its image has 32x25"):
        Bitmap(text, is_whole=True).pixels(25, 32, "it")


@pytest.mark.parametrize("text", ["", "%%", "iVBORw0KGgo=", base64_png(np.ones((4, 4), bool))[:40]])
def test_a_bitmap_that_is_no_png(text):
    with pytest.raises(UserError, match="it has a bitmap that is no PNG in base64"):
        Bitmap(text).pixels(24, 32, "it")

"""Statistics of channels: those that NumPy computes of all pixels, whatever the processes; or one sentence."""

import numpy as np
import pytest

from deeplab_lit.data import channel_statistics
from deeplab_lit.data.channel_statistics import checked_statistics, measured
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError


def split_of(folder, count, pixels, seed=0):
    draw = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number}.npy" for number in range(count)]
    images = [
        draw.integers(0, pixels.largest + 1, (9, 5 + number % 3, pixels.channels)).astype(pixels.dtype)
        for number in range(count)
    ]
    for file, image in zip(files, images, strict=True):
        np.save(file, image)
    return Split([str(number) for number in range(count)], files, files, 2, pixels=pixels), images


@pytest.mark.parametrize("pixels", [PixelFormat(5, 8), PixelFormat(1, 16)])
def test_they_are_numpys(tmp_path, monkeypatch, pixels):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(tmp_path / "cache"))
    split, images = split_of(tmp_path / "images", 7, pixels)
    flat = np.concatenate([image.reshape(-1, pixels.channels) for image in images]).astype(np.float64)
    mean, std = measured(split)
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, flat.std(0), rtol=1e-12)
    monkeypatch.setattr(channel_statistics, "read_pixels", None)  # the second call reads no image
    assert measured(split) == (mean, std)


def test_of_many_images_a_sample_is_read_in_even_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(channel_statistics, "SAMPLE", 4)
    split, images = split_of(tmp_path / "images", 8, PixelFormat(4, 16))
    flat = np.concatenate([image.reshape(-1, 4) for image in images[::2]]).astype(np.float64)
    np.testing.assert_allclose(measured(split)[0], flat.mean(0), rtol=1e-12)


def test_a_constant_channel_is_divided_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "a.npy", np.full((4, 4, 2), 255, np.uint8))
    split = Split(["a"], [tmp_path / "a.npy"], [tmp_path / "a.npy"], 2, pixels=PixelFormat(2, 8))
    assert measured(split) == ([255.0, 255.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        ([1.0] * 4, None, "give both as lists of 4 numbers, or 1 for the channels beyond the third"),
        ([1.0] * 3, [1.0] * 3, "lists of 4 numbers"),
        ([1.0] * 4, [1.0], "lists of 4 numbers"),
        ("measured", [1.0] * 4, "both as measured"),
        ("mean", "mean", "both as measured"),
        ([256], [1], "each mean is from 0 to 255"),
        ([1] * 4, [1, 1, 1, 0], "each std is more than 0"),
        ([1] * 4, [1, 1, 1, float("nan")], "each std is more than 0"),
    ],
)
def test_what_does_not_belong_together_is_refused(mean, std, said):
    with pytest.raises(UserError, match=said):
        checked_statistics(mean, std, PixelFormat(4, 8))


def test_what_belongs_together_is_taken():
    for pair in ((None, None), ("measured", "measured"), ([9], [1.5]), ([1, 2, 3, 4.0], [1] * 4)):
        assert checked_statistics(*pair, PixelFormat(4, 8)) == pair
    with pytest.raises(UserError, match="lists of 3 numbers, in units"):
        checked_statistics([], [], PixelFormat(3, 8))

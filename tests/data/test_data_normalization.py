"""The normalisation of images with other channels: what the weights say, what is given, what is measured."""

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab_lit.data.data_normalization import of_data
from deeplab_lit.data.folder import Folder
from deeplab_lit.data.normalization import BGR_BYTES, IMAGENET, Normalization, NormalizeBytes
from deeplab_lit.utils.errors import UserError


def folder(root, channels, bits=8, **statistics):
    """Two images for training and one to validate on; and all values of those for training (N, C)."""
    rng, flat = np.random.default_rng(0), []
    for split, count in (("train", 2), ("val", 1)):
        for name in ("images", "masks"):
            (root / name / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = rng.integers(0, 2**bits, (6, 7, channels)).astype(np.uint8 if bits == 8 else np.uint16)
            np.save(root / "images" / split / f"{number}.npy", image)
            Image.fromarray(np.zeros((6, 7), np.uint8)).save(root / "masks" / split / f"{number}.png")
            flat += [image.reshape(-1, channels)] if split == "train" else []
    source = Folder(root, ["a", "b"], channels=channels, bits=bits, **statistics)
    return source, np.concatenate(flat).astype(np.float64)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("weights", [IMAGENET, BGR_BYTES])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_first_three_keep_that_of_the_weights_and_the_others_are_measured(tmp_path, weights, bits):
    source, flat = folder(tmp_path, 5, bits)
    found = of_data(weights, source)
    scale = 1 if bits == 8 else 257
    np.testing.assert_allclose(found.mean, [*(np.array(weights.mean) * scale), *flat.mean(0)[3:]], rtol=1e-9)
    np.testing.assert_allclose(found.std, [*(np.array(weights.std) * scale), *flat.std(0)[3:]], rtol=1e-9)
    assert found.bgr == weights.bgr and found.pixels == source.pixels


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_images_are_measured(tmp_path, channels):
    source, flat = folder(tmp_path, channels)
    found = of_data(BGR_BYTES, source)
    np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-9)
    assert not found.bgr


def test_what_is_given_comes_first(tmp_path):
    further, _ = folder(tmp_path / "a", 4, mean=[7], std=[2.5])
    assert of_data(IMAGENET, further) == Normalization((*IMAGENET.mean, 7), (*IMAGENET.std, 2.5))
    every, _ = folder(tmp_path / "b", 4, 16, mean=[7, 8, 9, 10], std=[1, 2, 3, 4])
    assert of_data(BGR_BYTES, every) == Normalization((7, 8, 9, 10), (1, 2, 3, 4), bgr=True, bits=16)
    of_all, flat = folder(tmp_path / "c", 4, mean="measured", std="measured")
    np.testing.assert_allclose(of_data(IMAGENET, of_all).mean, flat.mean(0), rtol=1e-9)


def test_weights_of_the_same_channels_keep_theirs(tmp_path):
    source, _ = folder(tmp_path / "a", 4)
    own = Normalization((1, 2, 3, 4), (5, 6, 7, 8))
    assert of_data(own, source) is own
    deep, _ = folder(tmp_path / "b", 4, 16)
    assert of_data(own, deep).mean == (257, 514, 771, 1028)
    other, _ = folder(tmp_path / "c", 5)
    with pytest.raises(
        UserError, match="the weights are of 4 channels of 8 bits, the data set has 5 .*data.channels=4"
    ):
        of_data(own, other)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bgr", [False, True])
def test_input_is_minus_mean_over_std_in_the_order_of_the_channels(bits, bgr):
    largest = 2**bits - 1
    image = np.random.default_rng(0).integers(0, largest + 1, (4, 5, 4)).astype(np.uint8 if bits == 8 else np.uint16)
    mean, std = np.array([0.4, 0.5, 0.3, 0.2]) * largest, np.array([0.2, 0.1, 0.3, 0.4]) * largest
    made = Normalization.of(mean.tolist(), std.tolist(), bgr, bits)
    order = [2, 1, 0, 3] if bgr else [0, 1, 2, 3]
    expected = ((image - mean) / std)[..., order].transpose(2, 0, 1)
    padded = made(image, (6, 8)).numpy()
    np.testing.assert_allclose(padded[:, :4, :5], expected, atol=1e-5)
    assert np.abs(padded[:, 4:]).max() <= 0.5 / std.min() + 1e-6  # the padding is the mean, rounded
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    np.testing.assert_array_equal(NormalizeBytes(made)(batch)[0].numpy(), padded[:, :4, :5])


def test_a_description_holds_all_of_it():
    made = Normalization.of([1, 2, 3, 4], [5, 6, 7, 8], True, 16)
    about = {"mean": [1, 2, 3, 4], "std": [5, 6, 7, 8], "bgr": True, "bits": 16}
    assert (
        Normalization.chosen(about) == made
        and str(made) == "4 channels of 16 bits, BGR first, minus 1, 2, 3, 4 over 5, 6, 7, 8"
    )
    for wrong in ({"mean": []}, {"std": [1]}, {"bits": 12}, {"mean": [1], "std": [1]}):
        with pytest.raises(UserError):
            Normalization.chosen({**about, **wrong})

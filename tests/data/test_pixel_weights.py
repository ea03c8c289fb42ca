import cv2
import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.crops import scaled_crop, scaled_weights
from deeplab_lit.data.datamodule import stacked
from deeplab_lit.data.normalization import IMAGENET
from deeplab_lit.data.pixel_weights import read_pixel_weights
from deeplab_lit.data.split import Example, Split
from deeplab_lit.data.transforms import TrainTransform, extra_transforms
from deeplab_lit.utils.errors import UserError


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_black_is_0_and_white_is_1(tmp_path, dtype, highest):
    values = np.array([[0, 1, highest], [highest // 2, 7, 13]], dtype)
    Image.fromarray(values).save(tmp_path / "a.png")
    found = read_pixel_weights(tmp_path / "a.png", (2, 3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values / highest, rtol=1e-6)


def test_a_dark_picture_of_16_bits_is_not_taken_for_8(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((2, 3), 200, np.uint16))  # another writer than the reader
    np.testing.assert_allclose(read_pixel_weights(tmp_path / "a.png", (2, 3)), 200 / 65535, rtol=1e-6)


@pytest.mark.parametrize("mode", ["P", "RGB", "LA", "RGBA", "1"])
def test_other_pictures_are_refused(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=rf"a\.png is a picture of mode {mode}: weights of pixels are grey PNGs"):
        read_pixel_weights(tmp_path / "a.png", (2, 3))


@pytest.mark.parametrize("value", [70000, -1])
def test_32_bits_are_no_weights(tmp_path, value):
    """They gave weights above 1 and below 0."""
    Image.fromarray(np.full((2, 3), value, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif is a picture of mode I: weights of pixels are grey PNGs"):
        read_pixel_weights(tmp_path / "a.tif", (2, 3))


def test_what_is_no_picture_of_weights_is_told(tmp_path):
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "grey.png").read_bytes()[:40])
    with pytest.raises(UserError, match="rgb.png is a picture of mode RGB: weights of pixels are grey PNGs"):
        read_pixel_weights(tmp_path / "rgb.png", (4, 5))
    with pytest.raises(UserError, match="grey.png is 5x4 but its mask is 5x5"):
        read_pixel_weights(tmp_path / "grey.png", (5, 5))
    for name in ("text", "cut"):
        with pytest.raises(UserError, match=rf"{name}\.png cannot be read as weights of pixels"):
            read_pixel_weights(tmp_path / f"{name}.png", (4, 5))
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        read_pixel_weights(tmp_path / "none.png", (4, 5))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("numba", [True, False])
def test_weights_go_where_their_labels_go(monkeypatch, seed, numba):
    """Weights that are the labels themselves stay so, and are 0 in the padding."""
    monkeypatch.setattr("deeplab_lit.data.crops.has_numba", lambda: numba)
    rng = np.random.default_rng(seed)
    size, scaled, side = rng.integers(5, 60, 2), tuple(map(int, rng.integers(5, 90, 2))), int(rng.integers(3, 60))
    mask, mirrored = rng.integers(1, 21, size, np.uint8), bool(seed % 2)
    corner = tuple(int(rng.integers(0, max(0, length - side) + 1)) for length in scaled)
    image = np.zeros((*size, 3), np.uint8)
    _, labels = scaled_crop(image, mask, scaled, corner, side, mirrored, (0, 0, 0))
    found = scaled_weights(mask.astype(np.float32), scaled, corner, side, mirrored)
    padding = labels == 255
    if numba:
        np.testing.assert_array_equal(found, np.where(padding, 0, labels))
    else:  # OpenCV rounds a pixel that lies between two of the mask as it likes
        assert (found[~padding] == labels[~padding]).mean() > 0.5 and not found[padding].any()


def test_a_sample_has_the_weights_and_the_box_of_the_image(tmp_path):
    rng = np.random.default_rng(0)
    mask = rng.integers(1, 21, (30, 40), np.uint8)
    example = Example(np.full((30, 40, 3), 9, np.uint8), mask, "x", mask.astype(np.float32))
    plain = TrainTransform(48, IMAGENET)
    # the place of a transform's result is not known here, so that it is compared with that of the mask
    turned = TrainTransform(48, IMAGENET, extra=extra_transforms([{"name": "VerticalFlip", "p": 1.0}]))
    for seed in range(30):
        sample, other = plain(example, seed), turned(example, seed)
        padding = sample["mask"] == 255
        assert np.array_equal(sample["weights"], np.where(padding, 0, sample["mask"]))
        assert np.array_equal(other["weights"], np.where(other["mask"] == 255, 0, other["mask"]))
        top, bottom, left, right = sample["box"].tolist()
        inside = np.zeros((48, 48), bool)
        inside[top:bottom, left:right] = True
        assert np.array_equal(inside, ~padding)
    batch = stacked([plain(example, 0), plain(example, 1)])
    assert batch["weights"].shape == (2, 48, 48) and batch["box"].shape == (2, 4) and batch["id"] == ["x", "x"]
    assert "weights" not in plain(Example(example.image, mask, "x"), 0)


def test_a_split_reads_the_weights_of_its_ids(tmp_path):
    for name in ("image", "mask"):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / f"{name}.png")
    split = Split(["a", "b"], [tmp_path / "image.png"] * 2, [tmp_path / "mask.png"] * 2, 2)
    assert split[0].weights is None
    for number, id in enumerate("ab"):
        Image.fromarray(np.full((4, 5), 255 * number, np.uint8)).save(tmp_path / f"{id}.png")
    split.weigh(tmp_path)
    assert (split[0].weights == 0).all() and (split[1].weights == 1).all()

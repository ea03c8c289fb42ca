import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab_lit.data.crops import planes, scaled_crop
from deeplab_lit.data.datamodule import of_equal_size, stacked
from deeplab_lit.data.normalization import BGR_BYTES, IMAGENET, Normalization, NormalizeBytes
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.data.split import Example
from deeplab_lit.data.transforms import EvalTransform, TrainTransform, extra_transforms
from deeplab_lit.utils.errors import UserError

PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def marked(height, width, y, x, size=6):
    """A dark picture with a bright square, and a mask with class 1 on the same pixels."""
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    image[y : y + size, x : x + size], mask[y : y + size, x : x + size] = 255, 1
    return Example(image, mask, "marked")


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(20, 90),
    width=st.integers(20, 90),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    listed=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_marked_place_of_image_and_mask_lands_together(seed, height, width, where, listed):
    y, x = int(where[0] * (height - 8)), int(where[1] * (width - 8))
    scales = dict(scale_range=None, scale_list=[0.5, 0.75, 1.25, 1.5]) if listed else {}
    sample = TrainTransform(65, PLAIN, **scales)(marked(height, width, y, x), seed)
    assert sample["image"].shape == (3, 65, 65) and sample["mask"].shape == (65, 65)
    assert set(sample["mask"].unique().tolist()) <= {0, 1, 255}
    bright, ones = sample["image"][0].numpy() / 255, (sample["mask"] == 1).numpy()
    # bilinear edges are half-bright where nearest flips, so thresholding the image must give the mask
    differ = (bright > 0.5) != ones
    assert not (differ & (np.abs(bright - 0.5) > 0.26)).any()
    # each edge of the mask is within half a pixel of the image's
    border = np.ones_like(ones)
    border[2:-2, 2:-2] = False
    if ones.any() and not (border & ones).any():
        centre = [np.average(np.indices(ones.shape)[i], weights=bright) for i in (0, 1)]
        found = [np.indices(ones.shape)[i][ones].mean() for i in (0, 1)]
        assert np.abs(np.subtract(centre, found)).max() < 0.51


@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    scaled=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    offset=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    side=st.integers(1, 70),
    mirrored=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_the_crop_is_that_of_the_whole_image_resized_by_opencv(size, scaled, offset, side, mirrored, seed):
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 21, size, np.uint8)
    top, left = (int(share * max(0, length - side)) for share, length in zip(offset, scaled, strict=True))
    whole = np.full((max(side, scaled[0]), max(side, scaled[1]), 3), (9, 8, 7), np.uint8)
    whole_mask = np.full(whole.shape[:2], 255, np.uint8)
    to = (scaled[1], scaled[0])
    whole[: scaled[0], : scaled[1]] = cv2.resize(image, to, interpolation=cv2.INTER_LINEAR)
    whole_mask[: scaled[0], : scaled[1]] = cv2.resize(mask, to, interpolation=cv2.INTER_NEAREST_EXACT)
    turn = -1 if mirrored else 1
    expected = whole[top : top + side, left : left + side][:, ::turn]
    expected_mask = whole_mask[top : top + side, left : left + side][:, ::turn]

    crop, crop_mask = scaled_crop(image, mask, scaled, (top, left), side, mirrored, (9, 8, 7))
    assert np.abs(crop.astype(int) - expected).max() <= 1  # OpenCV computes in fixed point
    # a pixel on the line between two of the mask may take either: OpenCV's arithmetic rounds
    tied = [((2 * np.arange(max(side, n)) + 1) * m % (2 * n) == 0) for n, m in zip(scaled, size, strict=True)]
    sure = ~(tied[0][top : top + side, None] | tied[1][left : left + side])[:, ::turn]
    np.testing.assert_array_equal(crop_mask[sure], expected_mask[sure])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scaled", [(31, 47), (90, 130)])
def test_without_numba_opencv_does_the_same(monkeypatch, scaled, mirrored):
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (61, 83, 3), np.uint8), rng.integers(0, 21, (61, 83), np.uint8)
    arguments = (image, mask, scaled, (3, 5) if scaled[0] > 70 else (0, 0), 70, mirrored, (9, 8, 7))
    table, found = rng.random((3, 256)).astype(np.float32), [np.zeros((3, 70, 90), np.float32) for _ in range(2)]
    planes(image, table, np.array([2, 1, 0]), found[0])
    crop, crop_mask = scaled_crop(*arguments)
    monkeypatch.setattr("deeplab_lit.data.crops.has_numba", lambda: False)
    planes(image, table, np.array([2, 1, 0]), found[1])
    np.testing.assert_array_equal(*found)
    other, other_mask = scaled_crop(*arguments)
    assert np.abs(crop.astype(int) - other).max() <= 1
    np.testing.assert_array_equal(crop_mask, other_mask)


def test_masks_are_not_shifted_on_average():
    """Over many scales the mask's centre lies on the image's centre; a flooring rule would move it by 0.25."""
    transform, offsets = TrainTransform(200, PLAIN, flip=False), []
    for seed in range(200):
        sample = transform(marked(100, 100, 40, 30, size=25), seed)
        bright, ones = sample["image"][0].numpy(), (sample["mask"] == 1).numpy()
        grid = np.indices(ones.shape)
        offsets.append([np.average(grid[i], weights=bright) - grid[i][ones].mean() for i in (0, 1)])
    assert np.abs(np.mean(offsets, 0)).max() < 0.04


def test_padding_is_bottom_right_with_mean_and_void():
    norm = Normalization((10.0, 20.0, 30.0), (1.0, 1.0, 1.0))
    example = Example(np.full((5, 7, 3), 200, np.uint8), np.ones((5, 7), np.uint8), "small")
    sample = TrainTransform(9, norm, scale_range=None, flip=False)(example, 0)
    assert (
        (sample["mask"][:5, :7] == 1).all()
        and (sample["mask"][5:] == 255).all()
        and (sample["mask"][:, 7:] == 255).all()
    )
    # bytes all the way: a batch of ten crops of 321 takes 4.1 MB on its way to the device
    assert sample["image"].dtype == sample["mask"].dtype == torch.uint8
    image = NormalizeBytes(norm)(sample["image"][None])[0]
    assert (image[:, 5:] == 0).all() and (image[:, :, 7:] == 0).all()
    assert image[:, 0, 0].tolist() == [190, 180, 170]


def test_scales_cover_the_range_continuously_or_the_list():
    def heights(**scales):
        transform, found = TrainTransform(200, PLAIN, flip=False, **scales), []
        for seed in range(300):
            mask = transform(Example(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8), "x"), seed)[
                "mask"
            ]
            found.append(int((mask[:, 0] == 0).sum()))
        return found

    continuous = heights()
    assert min(continuous) < 55 and max(continuous) > 145 and len(set(continuous)) > 60
    assert set(heights(scale_range=None, scale_list=[0.5, 0.75, 1.0, 1.25, 1.5])) == {50, 75, 100, 125, 150}
    assert set(heights(scale_range=None)) == {100}


def test_half_of_the_samples_are_mirrored():
    transform = TrainTransform(16, PLAIN, scale_range=None)
    example = marked(16, 16, 0, 0)
    flips = sum(int(transform(example, seed)["mask"][0, 0] == 0) for seed in range(400))
    assert 150 < flips < 250


def test_the_seed_alone_decides():
    noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
    transform, example = TrainTransform(33, PLAIN), Example(noise, noise[..., 0] // 128, "noise")
    a, b, c = transform(example, 5), transform(example, 6), transform(example, 5)
    assert torch.equal(a["image"], c["image"]) and torch.equal(a["mask"], c["mask"])
    assert not torch.equal(a["image"], b["image"])


@pytest.mark.parametrize(
    ("side", "size", "padded"),
    [(500, 513, 513), (375, 513, 513), (513, 513, 513), (600, 513, 601), (144, 1, 145)],
)
def test_validation_pads_and_never_squashes(side, size, padded):
    example = marked(side, 40, 5, 5)
    sample = EvalTransform(size, PLAIN)(example)
    assert sample["mask"].shape[0] == padded and sample["image"].shape[1] == padded
    np.testing.assert_array_equal(sample["image"][:, :side, :40].numpy().transpose(1, 2, 0), example.image)
    np.testing.assert_array_equal(sample["mask"][:side, :40].numpy(), example.mask)
    assert (sample["mask"][side:] == 255).all() and (sample["mask"][:, 40:] == 255).all()


def test_images_of_several_sizes_are_not_padded_to_one():
    """As the network scores a larger image, its padding included, differently near the borders of a smaller one."""
    transform = EvalTransform(1, Normalization())
    samples = [transform(marked(height, width, 1, 1)) for height, width in ((17, 33), (25, 9), (10, 30))]
    found = of_equal_size(samples)
    assert [each["image"].shape for each in found] == [(2, 3, 17, 33), (1, 3, 25, 9)]
    assert torch.equal(found[0]["image"][1], samples[2]["image"]) and torch.equal(
        found[1]["mask"][0], samples[1]["mask"]
    )


@pytest.mark.parametrize("norm", [IMAGENET, BGR_BYTES])
def test_a_batch_is_normalised_to_the_bits_of_one_image(norm):
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.equal(NormalizeBytes(norm)(batch), torch.stack([norm(image) for image in images]))


def test_a_batch_of_ten_crops_is_four_megabytes():
    """As floats and int64 it was 20.6 MB: four of them overflow the 64 MB of shared memory that Docker gives."""
    transform = TrainTransform(321, Normalization())
    batch = stacked([transform(marked(375, 500, 9, 9), seed) for seed in range(10)])
    assert sum(batch[name].nbytes for name in ("image", "mask")) == 10 * 321 * 321 * 4


def test_a_transform_that_makes_floats_is_refused():
    transform = TrainTransform(16, PLAIN, None, extra=extra_transforms([{"name": "Normalize"}]))
    with pytest.raises(UserError, match="augment.extra makes float32 of the images: each transform keeps bytes"):
        transform(marked(20, 20, 1, 1), 0)


FOUR = PixelFormat(4, 16)


def test_images_of_other_channels_are_scaled_padded_and_turned_into_samples():
    image = np.full((20, 30, 4), (60000, 500, 7, 65535), np.uint16)
    norm = Normalization((1.0, 2.0, 3.0, 4000.4), (1.0, 1.0, 1.0, 1.0), bits=16)
    example = Example(image, np.zeros((20, 30), np.uint8), "a")
    for sample in (TrainTransform(48, norm)(example, 3), EvalTransform(49, norm)(example)):
        pixels, void = sample["image"].numpy(), sample["mask"].numpy() == 255
        assert pixels.dtype == np.uint16 and void.any() and not void.all()
        assert (pixels[:, ~void].T == (60000, 500, 7, 65535)).all() and (pixels[:, void].T == (1, 2, 3, 4000)).all()
    batch = stacked([EvalTransform(49, norm)(example)] * 2)["image"]
    assert NormalizeBytes(norm)(batch)[1, 0, 0, 0] == 59999


def test_transforms_that_need_rgb_bytes_are_refused_for_other_images():
    for name in ("HueSaturationValue", "ToGray"):
        with pytest.raises(UserError, match=f"augment.extra: {name} does not take images with 4 channels of 16 bits"):
            extra_transforms([{"name": name, "p": 0.01}], FOUR)
    (flip,) = extra_transforms([{"name": "VerticalFlip", "p": 1.0}], FOUR)
    example = Example(
        np.random.default_rng(0).integers(0, 65536, (9, 9, 4)).astype(np.uint16), np.eye(9, dtype=np.uint8), "a"
    )
    norm = Normalization((0.0,) * 4, (1.0,) * 4, bits=16)
    sample = TrainTransform(9, norm, None, flip=False, extra=[flip])(example, 0)
    np.testing.assert_array_equal(sample["image"].permute(1, 2, 0).numpy(), example.image[::-1])
    np.testing.assert_array_equal(sample["mask"].numpy(), example.mask[::-1])


def test_caffe_normalisation_is_bgr_bytes_minus_mean():
    norm = Normalization((122.675, 116.669, 104.008), (1.0, 1.0, 1.0), bgr=True)
    found = norm(np.array([[[200, 100, 50]]], np.uint8))[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor([50 - 104.008, 100 - 116.669, 200 - 122.675]))


def test_extra_transforms_by_name():
    transform = TrainTransform(16, PLAIN, None, flip=False, extra=extra_transforms([{"name": "InvertImg", "p": 1.0}]))
    sample = transform(Example(np.full((16, 16, 3), 5, np.uint8), np.zeros((16, 16), np.uint8), "x"), 0)
    assert (sample["image"] == 250).all()
    with pytest.raises(UserError, match="InvertImage.*Did you mean 'InvertImg'"):
        extra_transforms([{"name": "InvertImage"}])


def test_two_kinds_of_scaling_are_refused():
    with pytest.raises(UserError, match="exclude each other"):
        TrainTransform(16, PLAIN, (0.5, 1.5), [0.5, 1.0])

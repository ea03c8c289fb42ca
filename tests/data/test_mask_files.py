"""Masks in the ways in which annotation programs write them."""

import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.frequencies import pixel_counts
from deeplab_lit.data.image_files import write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.mask_files import INDICES, MaskCoding, coloured, read_mask
from deeplab_lit.data.split import Split
from deeplab_lit.utils.errors import UserError

BINARY = MaskCoding(binary=True)
CAMVID = ["sky 128 128 128", "building 128 0 0", "road 128 64 128"]


@pytest.fixture
def every_class():
    """A label set of the largest size, with random colours, and a mask with each class and void."""
    rng = np.random.default_rng(0)
    colours = rng.choice(1 << 24, 255, replace=False)
    palette = tuple((int(c & 255), int(c >> 8 & 255), int(c >> 16)) for c in colours)
    labels = LabelSet(tuple(f"class {i}" for i in range(255)), palette)
    return labels, rng.permutation(np.arange(256 * 12, dtype=np.int64) % 256).astype(np.uint8).reshape(48, 64)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_give_the_indices_that_were_painted(tmp_path, every_class, mode):
    labels, mask = every_class
    write_mask(mask, labels.colours, tmp_path / "index.png")
    picture = Image.open(tmp_path / "index.png").convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(mask))
    picture.save(tmp_path / "colour.png")
    assert Image.open(tmp_path / "colour.png").mode == mode
    np.testing.assert_array_equal(read_mask(tmp_path / "colour.png", coloured(labels)), mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "index.png", coloured(labels)), mask)


def test_colours_are_looked_up_and_not_compared_class_by_class(tmp_path, every_class):
    labels, mask = every_class
    mask = mask.repeat(16, 0).repeat(16, 1)
    Image.fromarray(labels.colours[mask]).save(tmp_path / "a.png", compress_level=0)

    def seconds(read):
        read()
        start = time.perf_counter()
        read()
        return time.perf_counter() - start

    picture = labels.colours[mask]
    one_by_one = seconds(lambda: [(picture == colour).all(-1) for colour in labels.palette[:20]])
    assert seconds(lambda: read_mask(tmp_path / "a.png", coloured(labels))) < one_by_one


def test_void_has_the_colour_of_the_list(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1:] = (128, 64, 128)
    Image.fromarray(picture).save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png", read_class_list([*CAMVID, "255 void 0 0 0"])[1])
    assert (mask[0] == 255).all() and (mask[1:] == 2).all()


def test_a_colour_of_no_class_is_named_with_its_count_and_the_nearest(tmp_path):
    picture = np.full((4, 6, 3), 128, np.uint8)
    picture[0, :5] = (127, 60, 128)
    picture[1, :2] = (0, 255, 0)
    Image.fromarray(picture).save(tmp_path / "a.png")
    coding = read_class_list(CAMVID)[1]
    words = (
        r"a\.png has 5 pixel\(s\) of the colour \(127, 60, 128\), and 1 other colour\(s\).*\(128, 64, 128\) of 'road'"
    )
    with pytest.raises(UserError, match=words) as caught:
        read_mask(tmp_path / "a.png", coding)
    assert "\n" not in str(caught.value)
    picture[0, :5], picture[1, :2] = 128, (224, 224, 190)
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"2 pixel\(s\).*, which no class has; .*\(224, 224, 192\) of void"):
        read_mask(tmp_path / "a.png", coding)


def test_colours_without_a_list_of_colours(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[0] = (128, 64, 128)
    Image.fromarray(picture).save(tmp_path / "a.png")
    words = r"mode RGB, with the colours \(0, 0, 0\), \(128, 64, 128\): .*`name R G B` for each class"
    with pytest.raises(UserError, match=words):
        read_mask(tmp_path / "a.png", read_class_list(["sky", "road"])[1])
    twice = MaskCoding(("sky", "air"), ((1, 2, 3), (1, 2, 3)))
    with pytest.raises(UserError, match=r"'sky' and 'air' have the same colour \(1, 2, 3\)"):
        read_mask(tmp_path / "a.png", twice)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bit_masks_hold_indices(tmp_path, ending):
    values = np.arange(256, dtype=np.uint16).reshape(8, 32)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    assert Image.open(tmp_path / f"a.{ending}").mode.startswith("I")
    read = read_mask(tmp_path / f"a.{ending}")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)
    Image.fromarray(values * 3).save(tmp_path / f"a.{ending}")
    with pytest.raises(UserError, match=r"has the value 765: .*0 to 254, and 255 for void"):
        read_mask(tmp_path / f"a.{ending}")


@pytest.mark.parametrize(
    ("mode", "coding"), [("1", INDICES), ("1", MaskCoding(binary=True)), ("L", MaskCoding(binary=True))]
)
def test_masks_of_two_levels(tmp_path, mode, coding):
    expected = np.random.default_rng(0).integers(0, 2, (20, 30), np.uint8)
    Image.fromarray(expected * 255).convert(mode).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    read = read_mask(tmp_path / "a.png", coding)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, expected)


def test_binary_masks_hold_two_values(tmp_path):
    for values, words in (([0, 1, 255], "0, 1, 255"), ([0, 128, 255], "0, 128, 255"), ([2, 2], "2")):
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "a.png")
        with pytest.raises(UserError, match=f"has the values {words}: with data.binary=true"):
            read_mask(tmp_path / "a.png", BINARY)


def test_counts_follow_the_coding(tmp_path):
    values = np.zeros((4, 6), np.uint8)
    values[0] = 255
    Image.fromarray(values).save(tmp_path / "m.png")
    counts = [
        pixel_counts(Split(["m"], [tmp_path / "m.png"], [tmp_path / "m.png"], 2, coding=coding)).tolist()
        for coding in (INDICES, BINARY)
    ]
    assert counts == [[[18, 0]], [[18, 6]]]


OWN_NUMBERS = MaskCoding(values=((0, 255), (7, 0), (8, 1), (459, 2)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_masks_of_a_data_sets_own_numbers(tmp_path, dtype):
    values = np.array([[0, 7, 8], [8, 8, 0]], dtype)
    if dtype is not np.uint8:
        values[0, 0] = 459
    Image.fromarray(values).save(tmp_path / "a.tif")
    read = read_mask(tmp_path / "a.tif", OWN_NUMBERS)
    assert read.dtype == np.uint8
    assert read.tolist() == [[255 if dtype is np.uint8 else 2, 0, 1], [1, 1, 255]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[7, 9, 9]], np.uint8), r"has 2 pixel\(s\) of the value 9, which no class has: .* 0, 7 to 8, 459;"),
        (np.array([[7, 65535]], np.uint16), r"1 pixel\(s\) of the value 65535, which"),
        (np.array([[-1, -1, 70000]], np.int32), r"2 pixel\(s\) of the value -1, and 1 other value\(s\), which"),
        (np.array([[True, False]]), r"1 pixel\(s\) of the value 1, which"),
    ],
)
def test_a_number_of_no_class_is_named_with_its_count(tmp_path, values, words):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=words):
        read_mask(tmp_path / "a.tif", OWN_NUMBERS)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_pngs_of_few_bits_hold_indices(tmp_path, bits):
    """Written by hand, since Pillow writes grey PNGs of 1, 8 and 16 bits alone."""
    wanted = np.arange(24, dtype=np.uint8).reshape(3, 8) % (1 << bits)
    rows = b"".join(
        b"\0" + int("".join(f"{value:0{bits}b}" for value in row), 2).to_bytes(bits, "big") for row in wanted
    )
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 8, 3, bits, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), wanted)

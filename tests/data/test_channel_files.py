"""Images with any number of channels of 8 or 16 bits: the values that were written, or one sentence."""

import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.utils.errors import UserError

HEIGHT, WIDTH = 13, 17


def values(channels, bits, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 2**bits, (HEIGHT, WIDTH, channels))
    return drawn.astype(np.uint8 if bits == 8 else np.uint16)


def png(image):
    """A PNG by its specification: chunks with their CRC, rows without filter, the greatest byte of 16 bits first."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    colours = {1: 0, 2: 4, 3: 2, 4: 6}[image.shape[2]]
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8 * image.itemsize, colours, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(image.dtype.newbyteorder(">")).tobytes() for row in image)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pngs_are_read_as_they_are(tmp_path, channels, bits):
    image = values(channels, bits)
    (tmp_path / "a.png").write_bytes(png(image))
    read = read_pixels(tmp_path / "a.png", PixelFormat(channels, bits))
    assert read.dtype == image.dtype and read.flags.c_contiguous
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (2, 8), (3, 16), (4, 8), (4, 16), (5, 8), (7, 16)])
def test_tiffs_are_read_as_they_are(tmp_path, channels, bits, planar, compression, order):
    image = values(channels, bits)
    kind = {"photometric": "minisblack", "compression": compression, "byteorder": order}
    if channels == 1:
        tifffile.imwrite(tmp_path / "a.tif", image[..., 0], **kind)
    else:
        planes = image if planar == "contig" else np.ascontiguousarray(image.transpose(2, 0, 1))
        tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig=planar, **kind)
    read = read_pixels(tmp_path / "a.tif", PixelFormat(channels, bits))
    assert read.dtype == image.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("channels", [2, 5])
def test_pages_of_tiffs_are_channels(tmp_path, channels):
    image = values(channels, 16)
    tifffile.imwrite(tmp_path / "pages.tif", np.ascontiguousarray(image.transpose(2, 0, 1)), photometric="minisblack")
    tifffile.imwrite(tmp_path / "rows.tif", image, photometric="minisblack")  # a page for each row
    for name in ("pages.tif", "rows.tif"):
        np.testing.assert_array_equal(read_pixels(tmp_path / name, PixelFormat(channels, 16)), image)


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (2, 16), (6, 8), (4, 16)])
def test_arrays_are_read_as_they_are(tmp_path, channels, bits):
    image = values(channels, bits)
    np.save(tmp_path / "a.npy", image.astype(image.dtype.newbyteorder(">")))
    read = read_pixels(tmp_path / "a.npy", PixelFormat(channels, bits))
    assert type(read) is np.ndarray and read.dtype == image.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, image)
    if channels == 1:
        np.save(tmp_path / "a.npy", image[..., 0])
        np.testing.assert_array_equal(read_pixels(tmp_path / "a.npy", PixelFormat(1, 8)), image)


def test_grey_jpegs_are_turned_as_their_masks_are(tmp_path):
    grey = np.add.outer(np.arange(16), np.arange(24)).astype(np.uint8) * 6
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / "a.jpg", exif=exif, quality=100)
    read = read_pixels(tmp_path / "a.jpg", PixelFormat(1, 8), (24, 16))
    assert np.abs(read[..., 0].astype(int) - np.rot90(grey, -1)).max() <= 2
    assert read_pixels(tmp_path / "a.jpg", PixelFormat(1, 8), (16, 24)).shape == (16, 24, 1)


def test_rgb_bytes_are_read_and_converted_as_ever(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), values(1, 16))
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.png", RGB), read_image(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("image", "pixels", "said"),
    [
        (values(4, 8), (3, 16), "a.png has 4 channels of 8 bits instead of 3 channels of 16 bits"),
        (values(1, 8), (1, 16), "a.png has 1 channel of 8 bits instead of 1 channel of 16 bits"),
        (values(1, 16), (1, 8), "a.png has 1 channel of 16 bits instead of 1 channel of 8 bits"),
        (values(3, 8), (1, 8), "a.png has 3 channels of 8 bits instead of 1 channel of 8 bits"),
    ],
)
def test_another_format_is_one_sentence(tmp_path, image, pixels, said):
    (tmp_path / "a.png").write_bytes(png(image))
    tifffile.imwrite(tmp_path / "a.tif", image.squeeze())
    np.save(tmp_path / "a.npy", image)
    for ending in ("png", "tif", "npy"):
        with pytest.raises(UserError, match=said.replace("a.png", f"a.{ending}")) as raised:
            read_pixels(tmp_path / f"a.{ending}", PixelFormat(*pixels))
        count = 1 if image.ndim == 2 else image.shape[2]
        assert f"type data.channels={count} data.bits={8 * image.itemsize} if all" in str(raised.value)


def test_files_that_hold_no_image_are_one_sentence(tmp_path):
    four = PixelFormat(4, 16)
    np.save(tmp_path / "floats.npy", values(4, 16).astype(np.float32))
    np.save(tmp_path / "flat.npy", np.zeros((2, 2, 4, 3), np.uint16))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((3, 8, 9), np.uint16), photometric="minisblack")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(png(values(4, 16))[:-40])
    whole = (tmp_path / "pages.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    for name, said in (
        ("floats.npy", r"holds float32 \(13, 17, 4\)"),
        ("flat.npy", r"holds uint16 \(2, 2, 4, 3\)"),
        ("objects.npy", "cannot be read as an image"),
        ("pages.tif", "has 3 pages, which are not 4 channels"),
        ("text.png", "it begins as no image format does"),
        ("cut.png", "cannot be read as an image"),
        ("cut.tif", "cut.tif"),
        ("none.tif", "does not exist"),
    ):
        with pytest.raises(UserError, match=said):
            read_pixels(tmp_path / name, four)


def test_palettes_are_colours(tmp_path):
    Image.fromarray(values(3, 8)).quantize(8).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="has 3 channels of 8 bits instead of 1 channel"):
        read_pixels(tmp_path / "a.png", PixelFormat(1, 8))


def test_the_packages_that_tiffs_need_are_named(tmp_path, monkeypatch):
    image = values(4, 16)
    cv2.imwrite(str(tmp_path / "a.tif"), image[..., [2, 1, 0, 3]], (cv2.IMWRITE_TIFF_COMPRESSION, 5))  # LZW
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match=r"needs the package imagecodecs for .*: pip install 'deeplab_lit\[tiff\]'"):
            read_pixels(tmp_path / "a.tif", PixelFormat(4, 16))
    else:
        np.testing.assert_array_equal(read_pixels(tmp_path / "a.tif", PixelFormat(4, 16)), image)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError, match=r"needs the package tifffile: pip install 'deeplab_lit\[tiff\]'"):
        read_pixels(tmp_path / "a.tif", PixelFormat(4, 16))


@pytest.mark.parametrize(
    ("channels", "bits", "said"),
    [
        (0, 8, "data.channels=0"),
        (2.5, 8, "data.channels=2.5"),
        (True, 8, "data.channels=True"),
        (4, 12, "data.bits=12"),
    ],
)
def test_impossible_formats_are_refused(channels, bits, said):
    with pytest.raises(UserError, match=said):
        PixelFormat.chosen(channels, bits)

"""Pictures as people have them: grey, with transparency, for print, turned by their camera, broken."""

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps, features

from deeplab_lit.data.folder import Folder
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.normalization import Normalization, NormalizeBytes
from deeplab_lit.data.split import Split
from deeplab_lit.data.transforms import TrainTransform
from deeplab_lit.inference.photographs import as_pixels
from deeplab_lit.utils.errors import UserError


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:30, :40]
    return np.stack([rows * 8, columns * 6, 255 - rows * 4], -1).astype(np.uint8)


def test_greyscale_is_repeated(tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    read = read_image(tmp_path / "grey.png")
    assert read.shape == (30, 40, 3) and all((read[..., c] == picture[..., 0]).all() for c in range(3))


def test_transparency_is_dropped(tmp_path, picture):
    alpha = np.full((30, 40, 1), 7, np.uint8)
    Image.fromarray(np.concatenate([picture, alpha], 2)).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), picture)


def test_palette_pictures_are_colours_when_they_are_images(tmp_path, picture):
    Image.fromarray(picture).quantize(64).save(tmp_path / "palette.png")
    read = read_image(tmp_path / "palette.png").astype(int)
    assert np.abs(read - picture).mean() < 12


def test_cmyk_becomes_the_colours_it_prints(tmp_path, picture):
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "print.jpg", quality=98)
    with Image.open(tmp_path / "print.jpg") as file:
        assert file.mode == "CMYK"
    assert np.abs(read_image(tmp_path / "print.jpg").astype(int) - picture).mean() < 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("mask_follows", ["the file", "the viewer"])
def test_pictures_turned_by_exif_are_turned_if_their_masks_are(tmp_path, picture, orientation, mask_follows):
    file = Image.fromarray(picture)
    exif = file.getexif()
    exif[0x0112] = orientation
    file.save(tmp_path / "turned.png", exif=exif)
    shown = {1: picture, 3: picture[::-1, ::-1], 6: np.rot90(picture, -1), 8: np.rot90(picture, 1)}[orientation]
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), shown)  # without a mask: as viewers show it
    expected = shown if mask_follows == "the viewer" else picture
    if orientation == 3:
        expected = picture  # the size does not tell; masks of annotation files go by the file
    Image.fromarray(np.zeros(expected.shape[:2], np.uint8)).save(tmp_path / "mask.png")
    split = Split(["turned"], [tmp_path / "turned.png"], [tmp_path / "mask.png"], 2)
    np.testing.assert_array_equal(split[0].image, expected)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", r"bad\.jpg cannot be read as an image \(.*[Tt]runcated"),
        ("text", r"bad\.jpg cannot be read as an image"),
        ("empty", r"bad\.jpg cannot be read as an image"),
        ("fractions", r"bad\.tif holds fractions"),
        ("bomb", r"bad\.png cannot be read as an image.*decompression bomb"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, picture, kind, words, monkeypatch):
    path = tmp_path / {"fractions": "bad.tif", "bomb": "bad.png"}.get(kind, "bad.jpg")
    Image.fromarray(picture).save(path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    if kind == "text":
        path.write_text("<html>404</html>")
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "fractions":
        Image.fromarray(picture[..., 0].astype(np.float32)).save(path)
    if kind == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        monkeypatch.setattr("cv2.imdecode", lambda *_: None)  # OpenCV has a limit of its own, of 2^30 pixels
    with pytest.raises(UserError, match=words) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_a_crop_larger_than_the_image_is_filled_with_mean_and_void(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(np.ones((30, 40), np.uint8)).save(tmp_path / "m.png")
    example = Split(["a"], [tmp_path / "a.png"], [tmp_path / "m.png"], 2)[0]
    transform = TrainTransform(97, Normalization(), scale_range=None, flip=False)
    sample = transform(example, 0)
    assert sample["image"].shape == (3, 97, 97) and (sample["mask"] == 1).sum() == 30 * 40
    assert (sample["mask"] == 255).sum() == 97 * 97 - 30 * 40
    void = sample["mask"] == 255
    assert NormalizeBytes(Normalization())(sample["image"][None])[0][:, void].abs().max() < 0.01


@pytest.mark.parametrize("kind", ["colour", "grey", "progressive", "half chroma", "turned"])
def test_jpegs_are_read_as_pillow_reads_them(tmp_path, picture, kind):
    file = Image.fromarray(picture[..., 0] if kind == "grey" else picture)
    exif = file.getexif()
    exif[0x0112] = 6 if kind == "turned" else 1
    how = {"subsampling": 2 if kind == "half chroma" else 0, "progressive": kind == "progressive"}
    file.save(tmp_path / "a.jpg", exif=exif, **how)
    with Image.open(tmp_path / "a.jpg") as read:
        expected = np.array(ImageOps.exif_transpose(read).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)


def test_a_jpeg_with_bytes_that_belong_to_nothing_is_read(tmp_path, picture):
    """As many of COCO's are: libjpeg warns, and gives the whole picture."""
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    assert content.endswith(b"\xff\xd9")
    (tmp_path / "odd.jpg").write_bytes(content[:-2] + b"\x00\x12\x34" + content[-2:])
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg((tmp_path / "odd.jpg").read_bytes(), "RGB")
    np.testing.assert_array_equal(read_image(tmp_path / "odd.jpg"), read_image(tmp_path / "a.jpg"))


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "bmp", "gif", "tga", "ppm", "jp2", "mpo", "avif"])
def test_a_folder_takes_each_format(tmp_path, picture, ending):
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        Image.fromarray(picture).save(tmp_path / "images" / f"{name}.{ending}")
        Image.fromarray(np.ones((30, 40), np.uint8)).save(tmp_path / "masks" / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    split = Folder(tmp_path, tmp_path / "classes.txt", train="a", val="b").split("train")
    assert np.abs(split[0].image.astype(int) - picture).mean() < 12


@pytest.mark.parametrize(
    ("ending", "channels"), [("png", "grey"), ("tif", "grey"), ("png", "colours"), ("tif", "colours")]
)
def test_sixteen_bits_are_trained_on_as_they_are_predicted_on(tmp_path, picture, ending, channels):
    file, deep = tmp_path / f"deep.{ending}", picture.astype(np.uint16) * 257
    cv2.imwrite(str(file), deep[..., 0] if channels == "grey" else deep[..., ::-1])
    Image.fromarray(np.ones((30, 40), np.uint8)).save(tmp_path / "mask.png")
    read = Split(["deep"], [file], [tmp_path / "mask.png"], 2)[0].image
    np.testing.assert_array_equal(read, picture[..., [0, 0, 0]] if channels == "grey" else picture)
    np.testing.assert_array_equal(read, as_pixels(file))

"""Pictures of every kind."""

import cv2
import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.image_files import picture_endings, read_image
from deeplab_lit.data.pixel_format import PixelFormat
from deeplab_lit.inference.photographs import as_pixels, find_images, images_of
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import photograph

PICTURE = photograph(20, 30)


def test_exif_turns_the_picture(tmp_path):
    file = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    Image.fromarray(PICTURE).save(file, exif=exif)
    np.testing.assert_array_equal(read_image(file), np.rot90(PICTURE, -1))
    np.testing.assert_array_equal(as_pixels(file), np.rot90(PICTURE, -1))


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "gif"])
def test_greyscale_is_repeated(tmp_path, ending):
    file = tmp_path / f"grey.{ending}"
    Image.fromarray(PICTURE[..., 0]).save(file, **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_array_equal(read_image(file), np.repeat(PICTURE[..., :1], 3, 2))


def test_transparency_is_dropped(tmp_path):
    Image.fromarray(np.dstack([PICTURE, np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)])).save(
        tmp_path / "a.png"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PICTURE)


def test_cmyk_and_palettes(tmp_path):
    Image.fromarray(PICTURE).convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - PICTURE).max() <= 2
    palette = Image.fromarray(PICTURE).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), np.array(palette.convert("RGB")))


def test_sixteen_bits_become_eight(tmp_path):
    deep = PICTURE.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "grey.png"), deep[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(PICTURE[..., :1], 3, 2))
    for ending in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"colour.{ending}"), deep[..., ::-1])
        np.testing.assert_array_equal(read_image(tmp_path / f"colour.{ending}"), PICTURE)


def test_what_cannot_be_read_is_named(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(PICTURE[..., 0].astype(np.float32)).save(tmp_path / "fractions.tif")
    for name in ("half.jpg", "text.jpg", "empty.png"):
        with pytest.raises(UserError, match=f"{name} cannot be read as an image") as raised:
            read_image(tmp_path / name)
        assert "object at 0x" not in str(raised.value)
    with pytest.raises(UserError, match="holds fractions"):
        read_image(tmp_path / "fractions.tif")


def test_arrays_and_pillow_images():
    np.testing.assert_array_equal(as_pixels(PICTURE), PICTURE)
    np.testing.assert_array_equal(as_pixels(Image.fromarray(PICTURE)), PICTURE)
    for wrong in (PICTURE / 255, PICTURE[..., 0], PICTURE[:0]):
        with pytest.raises(UserError, match="give RGB bytes"):
            as_pixels(wrong)


def test_files_folders_and_patterns(tmp_path):
    for name in (
        "a.jpg",
        "sub/a.png",
        "sub/b.JPG",
        "sub/notes.txt",
        ".hidden.png",
        ".cache/c.png",
        "sub/.thumbs/d.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(find_images(str(tmp_path))) == ["a", "sub/a", "sub/b"]
    assert list(find_images(str(tmp_path / ".cache"))) == ["c"]  # what is named is not hidden
    assert list(find_images(str(tmp_path / "a.jpg"))) == ["a"]
    assert list(find_images(str(tmp_path / "sub" / "*.JPG"))) == ["b"]
    with pytest.raises(UserError, match=r"would both be written as a.png"):
        find_images(str(tmp_path / "**" / "a.*"))
    with pytest.raises(UserError, match="there is no picture"):
        find_images(str(tmp_path / "nowhere"))


def test_a_folder_to_predict_and_one_to_train_on_take_the_same_formats(tmp_path):
    for ending in (*picture_endings(), ".txt", ".ps"):
        (tmp_path / f"picture_{ending[1:]}{ending}").touch()
    assert {file.suffix for file in find_images(str(tmp_path)).values()} == picture_endings()


def test_files_have_images_of_their_names(tmp_path):
    for name in ("a", "b", "sub/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PICTURE).save(tmp_path / f"{name}.png")
    found = images_of({"sub/c": "x", "a": "y"}, str(tmp_path))
    assert list(found.items()) == [("sub/c", tmp_path / "sub/c.png"), ("a", tmp_path / "a.png")]
    with pytest.raises(UserError, match=r"y has no image of that name in .* \(2 such in all\)"):
        images_of({"a": "x", "b2": "y", "d": "z"}, str(tmp_path))


def test_images_of_other_channels_are_taken_in_their_format_alone(tmp_path):
    four = np.random.default_rng(0).integers(0, 65536, (5, 6, 4)).astype(np.uint16)
    np.save(tmp_path / "a.npy", four)
    pixels = PixelFormat(4, 16)
    assert list(find_images(str(tmp_path))) == ["a"]  # a folder without pictures
    for given in (four, tmp_path / "a.npy"):
        np.testing.assert_array_equal(as_pixels(given, pixels), four)
    grey = Image.fromarray(four[..., 0])
    np.testing.assert_array_equal(as_pixels(grey, PixelFormat(1, 16)), four[..., :1])
    for wrong in (four[..., :3], four.astype(np.uint8), grey):
        with pytest.raises(UserError, match=r"give uint16 \(H, W, 4\)"):
            as_pixels(wrong, pixels)
    Image.fromarray(PICTURE).save(tmp_path / "b.png")
    assert list(find_images(str(tmp_path))) == ["b"]  # arrays beside pictures may be anything

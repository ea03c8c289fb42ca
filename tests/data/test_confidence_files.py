"""Grey pictures of confidences beside masks."""

import cv2
import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.confidence_files import masks_with_confidences, read_confidence
from deeplab_lit.utils.errors import UserError


@pytest.mark.parametrize(("kind", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_the_largest_value_of_the_type_is_1(tmp_path, kind, largest):
    values = np.array([[0, 51, largest], [largest // 5, 1, largest - 1]], kind)
    cv2.imwrite(str(tmp_path / "a.png"), values)  # another writer than the reader
    found = read_confidence(tmp_path / "a.png", (2, 3))
    assert found.dtype == np.float32 and found[0].tolist()[::2] == [0, 1]
    np.testing.assert_allclose(found, values / largest, rtol=1e-6)


def test_a_dark_picture_of_16_bits_is_not_taken_for_8(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((2, 3), 200, np.uint16))
    np.testing.assert_allclose(read_confidence(tmp_path / "a.png"), 200 / 65535, rtol=1e-6)


@pytest.mark.parametrize("mode", ["P", "RGB", "LA", "RGBA", "1"])
def test_other_pictures_are_refused(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=rf"a\.png is a picture of mode {mode}: confidences are grey PNGs"):
        read_confidence(tmp_path / "a.png")


def test_broken_files(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png is 3x2 but its mask is 2x3: confidences have the size"):
        read_confidence(tmp_path / "a.png", (3, 2))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(UserError, match=r"b\.png cannot be read as confidences"):
        read_confidence(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"c\.png does not exist"):
        read_confidence(tmp_path / "c.png")


def test_folders_of_masks_and_confidences(tmp_path):
    for name in ("masks/a.png", "masks/sub/b.png", "masks/.a-x.png", "sure/a.png", "sure/more.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 2)).save(tmp_path / name)
    with pytest.raises(UserError, match=r"masks/sub/b\.png has no confidences: .*sure/sub/b\.png does not exist \(1"):
        masks_with_confidences(tmp_path / "masks", tmp_path / "sure")
    (tmp_path / "sure/sub").mkdir()
    Image.new("L", (3, 2)).save(tmp_path / "sure/sub/b.png")
    found = masks_with_confidences(tmp_path / "masks", tmp_path / "sure")
    assert found == {
        "a": (tmp_path / "masks/a.png", tmp_path / "sure/a.png"),
        "sub/b": (tmp_path / "masks/sub/b.png", tmp_path / "sure/sub/b.png"),
    }
    with pytest.raises(UserError, match="nowhere is not a folder"):
        masks_with_confidences(tmp_path / "masks", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no \.png file"):
        masks_with_confidences(tmp_path / "empty", tmp_path / "sure")

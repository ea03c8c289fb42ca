"""What tests of several data sets start from."""

import pytest

from tests.conftest import write_voc
from tests.data.layouts import write_sbd


@pytest.fixture
def voc_and_sbd(tmp_path):
    voc = write_voc(tmp_path / "VOCdevkit" / "VOC2012")
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("picture_0\npicture_1\n")
    (lists / "val.txt").write_text("picture_2\n")
    masks = write_sbd(tmp_path / "sbd", ["extra_0", "picture_2", "picture_1", "extra_1"], train=2)
    return tmp_path, masks

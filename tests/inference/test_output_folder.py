"""Folders of results: gone on with, refused under other settings, never half written."""

import json

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.output_folder import Outputs, conclude, fill
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import coarse_probabilities, photograph

PICTURE = photograph(20, 30)
P = coarse_probabilities(PICTURE, 21)


def outputs(folder, settings=None, overlays=True, probabilities=True, overwrite=False):
    settings = settings or {"crf": {"name": "none"}}
    return Outputs(str(folder), LabelSet.voc(), settings, overlays, probabilities, overwrite)


def test_files_hold_what_was_given(tmp_path):
    out = outputs(tmp_path)
    assert not out.is_done("a/b")
    out.write("a/b", PICTURE, P.argmax(0).astype(np.uint8), P)
    assert out.is_done("a/b")
    with Image.open(tmp_path / "masks/a/b.png") as mask:
        assert mask.mode == "P" and mask.getpalette()[3:6] == [128, 0, 0]
        np.testing.assert_array_equal(np.array(mask), P.argmax(0))
    saved = np.load(tmp_path / "probabilities/a/b.npz")["probabilities"]
    assert saved.dtype == np.float16
    np.testing.assert_allclose(saved, P, atol=1e-3)
    assert Image.open(tmp_path / "overlays/a/b.png").size == (30, 20)


def test_an_image_is_done_when_all_its_files_are_there(tmp_path):
    outputs(tmp_path, probabilities=False).write("a", PICTURE, P.argmax(0).astype(np.uint8), None)
    assert outputs(tmp_path, probabilities=False).is_done("a")
    assert not outputs(tmp_path).is_done("a")
    assert not outputs(tmp_path, probabilities=False, overwrite=True).is_done("a")


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path, monkeypatch):
    out = outputs(tmp_path)

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("deeplab_lit.inference.output_folder.write_mask", full)
    with pytest.raises(OSError, match="no space"):
        out.write("a", PICTURE, P.argmax(0).astype(np.uint8), P)
    assert not out.is_done("a") and not list((tmp_path / "masks").glob("*"))


def test_another_setting_is_another_folder(tmp_path):
    outputs(tmp_path, {"crf": {"name": "none"}, "flip": False})
    outputs(tmp_path, {"crf": {"name": "none"}, "flip": False})
    with pytest.raises(UserError, match=r"holds results of flip=False, this is flip=True: choose another out=FOLDER"):
        outputs(tmp_path, {"crf": {"name": "none"}, "flip": True})
    outputs(tmp_path, {"crf": {"name": "none"}, "flip": True}, overwrite=True)
    assert json.loads((tmp_path / "settings.json").read_text())["flip"] is True


def test_bad_files_are_named_at_the_end(tmp_path, capsys):
    conclude(3, 2, [], tmp_path)
    assert capsys.readouterr().out == f"3 images written, 2 were there already: {tmp_path}\n"
    with pytest.raises(UserError, match=r"1 file\(s\) could not be used, all others were: x.jpg is broken"):
        conclude(3, 0, ["x.jpg is broken"], tmp_path)


def test_a_folder_of_an_earlier_release_is_gone_on_with(tmp_path):
    """Its settings lack keys that came later, which stand for their defaults."""
    outputs(tmp_path, {"flip": True})
    outputs(tmp_path, {"flip": True, "fusion": "max_scores", "max_side": None})
    outputs(tmp_path, {"flip": True})
    with pytest.raises(UserError, match="holds results of fusion=max_scores, this is fusion=mean_scores"):
        outputs(tmp_path, {"flip": True, "fusion": "mean_scores"})


def test_what_is_done_is_left_and_faults_are_gathered(tmp_path):
    out = outputs(tmp_path, probabilities=False)
    files = {name: tmp_path / f"{name}.npy" for name in "abc"}
    out.write("a", PICTURE, P.argmax(0).astype(np.uint8), None)
    worked = []

    def work(name):
        worked.append(name)
        if name == "b":
            raise UserError("it is broken.")
        out.write(name, PICTURE, P.argmax(0).astype(np.uint8), None)

    assert fill(out, files, work, "working", 1) == (1, 1, [f"{tmp_path / 'b.npy'}: it is broken."])
    assert worked == ["b", "c"] and out.is_done("c")
    with pytest.raises(ZeroDivisionError):  # any other error ends it
        fill(out, files, lambda name: 1 / 0, "working", 1)

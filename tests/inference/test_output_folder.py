"""Folders of results: gone on with, refused under other settings, never half written."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.output_folder import Filled, Outputs, conclude, fill
from deeplab_lit.inference.unusable_files import Fault
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.shards import Shard
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


def wrote(folder, settings, **more):
    outputs(folder, settings, probabilities=False, **more).write("a", PICTURE, P.argmax(0).astype(np.uint8), None)


def test_another_setting_is_another_folder(tmp_path):
    wrote(tmp_path, {"crf": {"name": "none"}, "flip": False})
    outputs(tmp_path, {"crf": {"name": "none"}, "flip": False})
    with pytest.raises(UserError, match=r"holds results of flip=False, this is flip=True: choose another out=FOLDER"):
        outputs(tmp_path, {"crf": {"name": "none"}, "flip": True})
    wrote(tmp_path, {"crf": {"name": "none"}, "flip": True}, overwrite=True)
    assert json.loads((tmp_path / "settings.json").read_text())["flip"] is True


def test_settings_are_those_of_the_masks(tmp_path):
    """A call that made none leaves no folder and does not bind a later one; what another process has made does."""
    one = outputs(tmp_path / "out", {"flip": False})
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/settings.json").write_text('{"flip": false}')  # of an earlier release
    other = outputs(tmp_path / "out", {"flip": True}, probabilities=False)
    other.write("a", PICTURE, P.argmax(0).astype(np.uint8), None)
    assert json.loads((tmp_path / "out/settings.json").read_text()) == {"flip": True}
    with pytest.raises(UserError, match="holds results of flip=True, this is flip=False"):
        one.write("b", PICTURE, P.argmax(0).astype(np.uint8), None)
    assert not (tmp_path / "out/masks/b.png").exists()


def test_what_was_done_is_told(tmp_path, capsys):
    conclude(Filled(3, 2, [], []), tmp_path, Shard(), ["void: 1 %"])
    assert capsys.readouterr().out == f"3 images written, 2 were there already: {tmp_path}\nvoid: 1 %\n"
    faults = [Fault("x", "x.jpg is broken.")]
    with pytest.raises(UserError, match=r"1 of 4 files could not be used: x.jpg is broken.$"):
        conclude(Filled(3, 0, [], faults), tmp_path, Shard())
    many = [Fault(f"{i}", f"{i}.jpg is broken.") for i in range(9)]
    with pytest.raises(UserError, match=rf"0.jpg is broken. \(9 such\) All are listed in {tmp_path}/unusable_2.txt.$"):
        conclude(Filled(3, 0, [], many), tmp_path, Shard(2, 3))
    assert (tmp_path / "unusable_2.txt").read_text().splitlines() == [each.text for each in many]
    conclude(Filled(3, 0, [], []), tmp_path, Shard(2, 3))
    assert not list(tmp_path.iterdir())


def test_an_input_that_is_newer_than_its_mask_is_told(tmp_path, capsys):
    files = {name: tmp_path / f"{name}.npy" for name in "ab"}
    out = outputs(tmp_path / "out", probabilities=False)
    for name, file in files.items():
        file.touch()
        out.write(name, PICTURE, P.argmax(0).astype(np.uint8), None)
    capsys.readouterr()
    conclude(fill(out, files, None, "working", 1), out.folder, Shard())
    assert not capsys.readouterr().err
    later = out.path("masks", "b").stat().st_mtime + 1
    os.utime(files["b"], (later, later))
    conclude(fill(out, files, None, "working", 1), out.folder, Shard())
    told = capsys.readouterr().err
    assert "1 input file(s) are newer" in told and "b.npy: type overwrite=true" in told


def test_the_list_names_what_has_a_mask(tmp_path):
    out = outputs(tmp_path, probabilities=False)
    out.write_list(["a", "b"])
    assert not (tmp_path / "train.txt").exists()
    out.write("b", PICTURE, P.argmax(0).astype(np.uint8), None)
    out.write_list(["a", "b"])
    assert (tmp_path / "train.txt").read_text() == "b\n"


def test_a_folder_of_an_earlier_release_is_gone_on_with(tmp_path):
    """Its settings lack keys that came later, which stand for their defaults."""
    wrote(tmp_path, {"flip": True})
    outputs(tmp_path, {"flip": True, "fusion": "max_scores", "max_side": None})
    outputs(tmp_path, {"flip": True})
    with pytest.raises(UserError, match="holds results of fusion=max_scores, this is fusion=mean_scores"):
        outputs(tmp_path, {"flip": True, "fusion": "mean_scores"})


def test_what_is_done_is_left_and_faults_are_gathered(tmp_path):
    out = outputs(tmp_path, probabilities=False)
    files = {name: tmp_path / f"{name}.npy" for name in "abc"}
    files["a"].touch()
    out.write("a", PICTURE, P.argmax(0).astype(np.uint8), None)
    worked = []

    def work(name):
        worked.append(name)
        if name == "b":
            raise UserError("it is broken.")
        out.write(name, PICTURE, P.argmax(0).astype(np.uint8), None)

    filled = fill(out, files, work, "working", 1)
    assert filled == Filled(1, 1, [], [Fault("b", f"{tmp_path / 'b.npy'}: it is broken.")])
    assert worked == ["b", "c"] and out.is_done("c")
    with pytest.raises(ZeroDivisionError):  # any other error ends it
        fill(out, {"b": files["b"]}, lambda name: 1 / 0, "working", 1)

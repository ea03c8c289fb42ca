"""Downloads from a server of our own."""

import hashlib
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deeplab_lit.data.sbd import VOCAug
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError
from tests.conftest import write_voc
from tests.data.layouts import write_sbd


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """VOC's and SBD's archives in miniature, on a server of this machine where torchvision looks for them."""
    import torchvision.datasets as sets
    import torchvision.datasets.voc as voc_module

    server, work = tmp_path / "server", tmp_path / "work"
    server.mkdir()
    voc = write_voc(work / "VOCdevkit" / "VOC2012", lists=("train", "trainval"))
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("picture_2\n")
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("picture_0\npicture_1\n")
    write_sbd(work / "benchmark_RELEASE" / "dataset", ["picture_1", "extra", "picture_2"], train=1)
    about = dict(voc_module.DATASET_YEAR_DICT["2012"])
    for name, folder, mode in (
        (about["filename"], "VOCdevkit", "w"),
        (sets.SBDataset.filename, "benchmark_RELEASE", "w:gz"),
    ):
        with tarfile.open(server / name, mode) as tar:
            tar.add(work / folder, folder)
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in server.iterdir()}

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=server))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}"
    about |= {"url": f"{url}/{about['filename']}", "md5": sums[about["filename"]]}
    monkeypatch.setitem(voc_module.DATASET_YEAR_DICT, "2012", about)
    monkeypatch.setattr(sets.SBDataset, "url", f"{url}/{sets.SBDataset.filename}")
    monkeypatch.setattr(sets.SBDataset, "md5", sums[sets.SBDataset.filename])
    yield server
    web.shutdown()
    web.server_close()


def test_downloads_are_fetched_extracted_and_not_fetched_again(archives, tmp_path):
    source = VOCAug(tmp_path / "data", tmp_path / "sbd", tmp_path / "png", download=True)
    source.prepare()
    assert source.split("train").ids == ["extra", "picture_0", "picture_1"] and source.split("val").ids == ["picture_2"]
    for file in [*tmp_path.rglob("*.tar"), *tmp_path.rglob("*.tgz")]:
        file.unlink()
    VOCAug(tmp_path / "data", tmp_path / "sbd", tmp_path / "png", download=True).prepare()


@pytest.mark.parametrize("name", ["VOCtrainval_11-May-2012.tar", "benchmark.tgz"])
def test_a_server_that_is_down_says_what_to_put_where(archives, tmp_path, name):
    (archives / name).unlink()
    with pytest.raises(UserError, match=rf"{name} could not be fetched from .*put it into {tmp_path}.*MD5 is \w{{32}}"):
        VOCAug(tmp_path / "data", tmp_path / "sbd", tmp_path / "png", download=True).prepare()


def test_an_archive_put_by_hand_is_taken_and_a_wrong_one_named(archives, tmp_path):
    name = "VOCtrainval_11-May-2012.tar"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"is not the official archive: its MD5 is not \w{32}"):
        VOC(tmp_path / "data", download=True).prepare()
    (archives / name).rename(tmp_path / "data" / name)
    source = VOC(tmp_path / "data", download=True)
    source.prepare()
    assert len(source.split("train")) == 2

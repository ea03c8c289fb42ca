"""The cache folder where a home can be written to, and where it cannot."""

import os
import tempfile
from pathlib import Path

import pytest

from deeplab_lit.utils import homes
from deeplab_lit.utils.homes import cache_folder, is_writable, lend_folders, scratch_folder, temporary_folder


@pytest.fixture
def no_home(tmp_path, monkeypatch):
    """A home that is a file, below which not even root makes a folder; nothing names a cache."""
    (tmp_path / "home").touch()
    (tmp_path / "temporary").mkdir()
    variables = ("DEEPLAB_LIT_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "HF_HUB_CACHE", "TORCH_HOME")
    for name in variables:  # set first, so that what the test adds is taken away
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    temporary_folder.cache_clear()
    yield tmp_path
    temporary_folder.cache_clear()


def test_a_home_that_can_be_written_to_has_the_cache(no_home, monkeypatch, caplog):
    monkeypatch.setenv("HOME", str(no_home / "new" / "home"))
    assert cache_folder() == no_home / "new" / "home" / ".cache" / "deeplab_lit"
    lend_folders()
    assert not caplog.records and "MPLCONFIGDIR" not in os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_home / "xdg"))
    assert cache_folder() == no_home / "xdg" / "deeplab_lit" and cache_folder("~/a") == Path("~/a").expanduser()


def test_another_home_has_a_temporary_one_after_one_sentence(no_home, caplog):
    lend_folders()
    folder = cache_folder()
    assert folder.parent == no_home / "temporary" and is_writable(folder) and folder.stat().st_mode & 0o777 == 0o700
    assert [record.message for record in caplog.records] == [
        f"{no_home / 'home'} cannot be written to, so what is made or fetched once goes to {folder}: set "
        "DEEPLAB_LIT_CACHE to a folder that lasts"
    ]
    assert os.environ["DEEPLAB_LIT_CACHE"] == str(folder)  # for the processes that this one starts
    assert Path(os.environ["MPLCONFIGDIR"]).parent == folder and os.environ["HOME"] == str(no_home / "home")


def test_what_the_user_has_set_stays(no_home, monkeypatch, caplog):
    monkeypatch.setenv("DEEPLAB_LIT_CACHE", str(no_home / "home" / "below_a_file"))
    monkeypatch.setenv("MPLCONFIGDIR", "mine")
    monkeypatch.setenv("HF_HOME", "mine")
    lend_folders()
    assert cache_folder() == no_home / "home" / "below_a_file" and not caplog.records
    assert os.environ["MPLCONFIGDIR"] == "mine" and "HF_HUB_CACHE" not in os.environ
    assert Path(os.environ["TORCH_HOME"]).parent == scratch_folder() == temporary_folder()


def test_without_any_home_other_libraries_get_one(no_home, monkeypatch):
    monkeypatch.setattr(homes, "_home", lambda: None)
    lend_folders()
    assert os.environ["HOME"] == str(temporary_folder())


def test_a_folder_of_somebody_else_is_not_taken(no_home):
    name = f"deeplab_lit-{os.getuid()}"
    (no_home / "elsewhere").mkdir()
    (no_home / "temporary" / name).symlink_to(no_home / "elsewhere")
    assert temporary_folder().name != name and not temporary_folder().is_symlink()
    temporary_folder.cache_clear()
    (no_home / "temporary" / name).unlink()
    (no_home / "temporary" / name).mkdir()
    (no_home / "temporary" / name).chmod(0o777)
    assert temporary_folder().name != name

"""Files that are whole or not there, and new folders."""

import errno

import pytest

from deeplab_lit.utils.files import replacing, write_json


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_the_file_that_was_there(tmp_path, error):
    (tmp_path / "a").write_text("before")
    with pytest.raises(type(error)), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "before")]


@pytest.mark.parametrize(
    "words", ["[enforce fail at inline_container.cc:672] . unexpected pos", "10 requested and 3 written"]
)
def test_what_the_disk_cut_short_is_no_room(tmp_path, words):
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "a"):
        raise RuntimeError(words)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
    with pytest.raises(OSError, match="too large") as caught, replacing(tmp_path / "a"):
        raise OSError(errno.EFBIG, "File too large")  # as a write says it, without a name
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a"))
    with pytest.raises(RuntimeError, match="other"), replacing(tmp_path / "a"):
        raise RuntimeError("other")


def test_new_folders_are_nobody_elses(tmp_path):
    """Two commands that begin in one second; evaluate asked whether the folder was there, and then made it."""
    from concurrent.futures import ThreadPoolExecutor

    from deeplab_lit.utils.files import new_folder

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: new_folder(tmp_path / "a" / "b"), range(64)))
    assert len(set(found)) == 64 and all(folder.is_dir() and folder.parent == tmp_path / "a" / "b" for folder in found)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"miou": 1.0, "iou": [float("nan")]})
    before = path.read_text()
    assert '"miou": 1.0' in before and "null" in before
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == before and [file.name for file in tmp_path.iterdir()] == ["result.json"]

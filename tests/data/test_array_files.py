"""Files of arrays in every form that is read, and files that are none."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from deeplab_lit.data.array_files import read_arrays
from deeplab_lit.utils.errors import UserError

A = np.random.default_rng(0).random((2, 3, 4)).astype(np.float16)
DICT = {"keys": [4, 7], "cam": A}
MOST = 10_000


def test_arrays_of_numpy(tmp_path):
    np.save(tmp_path / "a.npy", A)
    np.savez(tmp_path / "a.npz", anything=A)
    np.savez_compressed(tmp_path / "two.npz", keys=[4, 7], cam=A)
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(read_arrays(tmp_path / name, MOST), A)
    found = read_arrays(tmp_path / "two.npz", MOST)
    assert found["keys"].tolist() == [4, 7]
    np.testing.assert_array_equal(found["cam"], A)


def test_dicts_that_are_pickled(tmp_path):
    np.save(tmp_path / "a.npy", DICT, allow_pickle=True)
    np.savez(tmp_path / "a.npz", content=DICT)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(DICT))
    for name in ("a.npy", "a.npz", "a.pkl"):
        found = read_arrays(tmp_path / name, MOST)
        assert found["keys"] == [4, 7], name
        np.testing.assert_array_equal(found["cam"], A)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("ending", [".pth", ".pt"])
def test_files_of_pytorch(tmp_path, zipped, ending):
    content = {"keys": [4, 7], "cam": torch.from_numpy(A).bfloat16(), 5: torch.from_numpy(A)}
    torch.save(content, tmp_path / f"a{ending}", _use_new_zipfile_serialization=zipped)
    found = read_arrays(tmp_path / f"a{ending}", MOST)
    assert found["keys"] == [4, 7] and found["cam"].dtype == np.float32
    np.testing.assert_allclose(found["cam"], A, rtol=1e-2)
    np.testing.assert_array_equal(found[5], A)
    torch.save(torch.from_numpy(A), tmp_path / f"a{ending}", _use_new_zipfile_serialization=zipped)
    np.testing.assert_array_equal(read_arrays(tmp_path / f"a{ending}", MOST), A)


def test_a_compressed_or_pickled_file_has_bounds_and_a_plain_one_has_its_size(tmp_path):
    large = np.zeros((100, 100))
    np.save(tmp_path / "plain.npy", large)
    assert read_arrays(tmp_path / "plain.npy", MOST).shape == (100, 100)
    np.savez_compressed(tmp_path / "a.npz", large)
    with zipfile.ZipFile(tmp_path / "many.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            with archive.open(f"{number}.npy", "w") as member:
                np.save(member, large[:10])
    np.save(tmp_path / "a.npy", {"a": large}, allow_pickle=True)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": large}))
    for name in ("a.npz", "many.npz", "a.npy", "a.pkl"):
        with pytest.raises(UserError, match="more than its image can need"):
            read_arrays(tmp_path / name, MOST)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pkl", "a.pth"])
def test_what_are_no_files_of_arrays(tmp_path, name):
    for content in (b"", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04", b"text", bytes(1000)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="it (cannot be read as an array|is a damaged pickle)") as caught:
            read_arrays(tmp_path / name, MOST)
        assert "\n" not in str(caught.value)


def test_what_pytorch_does_not_read_without_running_code_is_named(tmp_path):
    """NumPy's arrays among tensors, and anything else that is pickled by name."""
    for content, name in (
        ({"keys": A, "cam": torch.from_numpy(A)}, r"numpy\S*_reconstruct"),
        ({"a": Path()}, "pathlib"),
    ):
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(
            UserError, match=rf"names {name}\S*, .* save NumPy's arrays with np.save, or as tensors"
        ) as caught:
            read_arrays(tmp_path / "a.pt", MOST)
        assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 250

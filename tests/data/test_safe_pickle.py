"""Pickles read as data: what NumPy and PyTorch write comes back, whatever the protocol."""

import collections
import pickle

import numpy as np
import pytest
import torch

from deeplab_lit.data.safe_pickle import read_pickle
from deeplab_lit.utils.errors import UserError

RNG = np.random.default_rng(0)
HELD = {
    "float16": RNG.random((2, 3, 4)).astype(np.float16),
    "columns first": np.asfortranarray(RNG.random((2, 3))),
    "big-endian": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 3), np.float32),
    "bits": np.array([True, False]),
    "names": np.array(["cat", "a dog"]),
    "tensor": torch.arange(24).reshape(2, 3, 4),
    "part of a tensor": torch.rand(2, 3, 4)[1, :, 2],
    "turned tensor": torch.rand(3, 4).t(),
    "repeated tensor": torch.rand(1).expand(5),
    "tensor without sides": torch.tensor(3.0),
}


def same(found, held):
    held = held.numpy() if isinstance(held, torch.Tensor) else held
    assert isinstance(found, np.ndarray) and found.dtype == held.dtype
    np.testing.assert_array_equal(found, held)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_tensors(protocol):
    found = read_pickle(pickle.dumps(HELD, protocol=protocol), 10_000)
    assert list(found) == list(HELD)
    for name, value in found.items():
        same(value, HELD[name])


def test_bfloat16_which_numpy_lacks():
    held = torch.rand(3).bfloat16()
    same(read_pickle(pickle.dumps(held), 1000), held.float())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values(protocol):
    plain = {
        "text": "\N{SNOWMAN}\n", 5: [1, -2.5, None, True, 2**70, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "dict": {},
        "bytes": b"\xff", "nothing": b"",
    }  # fmt: skip
    numbers = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), np.int64(7): np.str_("x")}
    both = collections.OrderedDict(plain=plain, same=plain, numbers=numbers)
    found = read_pickle(pickle.dumps(both, protocol=protocol), 1000)
    assert found == {"plain": plain, "same": plain, "numbers": {"a": 0.5, "b": 3, "c": True, 7: "x"}}
    assert type(found) is dict and {type(each) for each in found["numbers"].values()} == {float, int, bool, str}


def test_an_array_of_one_object_is_that_object():
    assert read_pickle(pickle.dumps(np.array({"keys": [3]})), 100) == {"keys": [3]}


def test_pickles_of_python_2():
    # what Python 2.7 with NumPy 1.11 writes for {"a": np.array([1., 2.])}, protocol 2, but for the memo
    raw = np.array([1.0, 2.0]).tobytes()
    content = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U"
        + bytes([len(raw)]) + raw + b"tbs."
    )  # fmt: skip
    np.testing.assert_array_equal(read_pickle(content, 100)["a"], [1, 2])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "a pickle"),
        ({(1, 2): 3}, "a dict with a key of type tuple"),
        ({1.5: 3}, "a dict with a key of type float"),
        (np.array([{}, []], object), "an array of Python objects"),
        (np.zeros(2, [("a", "f4"), ("b", "f4")]), "an array of type 'V8'"),
        (np.zeros(2, "M8[s]"), "an array of type 'M8'"),
        (np.zeros(2, np.complex64), "an array of type 'c8'"),
        (np.zeros(200), "an array of 1600 bytes, more than its image can need"),
        (torch.rand(1).expand(1000), "an array of 4000 bytes, more than its image can need"),
        ([torch.zeros(50) for _ in range(9)], "it unpacks to more than 1000 bytes"),
        (range(3), r"names .*range, which no array, tensor or plain value needs: nothing of it was run"),
        (torch.nn.Parameter(torch.zeros(2)), "names torch._utils._rebuild_parameter"),
    ],
)
def test_everything_else_is_refused(value, words):
    with pytest.raises(UserError, match=words):
        read_pickle(pickle.dumps(value), 1000)


def test_a_pickle_that_is_cut():
    content = pickle.dumps(HELD)
    for end in range(0, len(content), 7):
        with pytest.raises(UserError, match="pickle|array"):
            read_pickle(content[:end], 10_000)

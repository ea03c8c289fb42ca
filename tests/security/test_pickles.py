"""Pickles that attack a reader of score files: each is refused in one sentence, and nothing of it is run."""

import collections
import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch

from deeplab_lit.data import safe_pickle
from deeplab_lit.data.array_files import read_arrays
from deeplab_lit.data.safe_pickle import read_pickle
from deeplab_lit.utils.errors import UserError

pytestmark = pytest.mark.usefixtures("bounded")
MOST = 100_000


class Call:
    """Pickled, a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class State:
    """Pickled, a call whose result is given a state."""

    def __init__(self, function, arguments, state):
        self.whole = (function, arguments, state)

    def __reduce__(self):
        return self.whole


def named(module, name, arguments=b"X\x0e\x00\x00\x00touch attacked"):
    """A call of a name that the pickler itself would not write, by STACK_GLOBAL."""
    texts = b"".join(b"\x8c" + bytes([len(each)]) + each.encode() for each in (module, name))
    return b"\x80\x04" + texts + b"\x93" + b"(" + arguments + b"tR."


def tensor_of(content):
    """A tensor whose storage PyTorch would read of ``content``."""
    storage = Call(torch.storage._load_from_bytes, content)
    return pickle.dumps(Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, {}))


def legacy(content):
    """PyTorch's old format, with ``content`` in the place of the storage."""
    numbers = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(each, 2) for each in numbers) + content


def zipped_by_torch(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


EVIL = pickle.dumps(Call(os.system, "touch attacked"), 2)
TOUCH = b"(S'touch attacked'\n"
RUN = {
    "os.system": EVIL,
    "protocol 0": pickle.dumps(Call(os.system, "touch attacked"), 0),
    "open": pickle.dumps(Call(open, "attacked", "w")),
    "eval": pickle.dumps(Call(eval, "open('attacked', 'w')")),
    "exec": pickle.dumps(Call(exec, "open('attacked', 'w')")),
    "import": pickle.dumps(Call(__import__, "this")),
    "getattr chain": pickle.dumps(Call(getattr, Call(__import__, "os"), "system")),
    "getattr of an admitted name": pickle.dumps(Call(getattr, np.ndarray, "tofile")),
    "popen": pickle.dumps(Call(subprocess.Popen, ["touch", "attacked"])),
    "in a dict, beside a map": pickle.dumps({5: np.zeros((2, 2)), 6: Call(os.system, "touch attacked")}),
    "as a state": pickle.dumps(State(np.dtype, ("f4",), Call(os.system, "touch attacked"))),
    "instance": b"(S'touch attacked'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch attacked'\no.",
    "new object": b"\x80\x02csubprocess\nPopen\n(S'touch attacked'\nt\x81.",
    "new object with keys": b"\x80\x04csubprocess\nPopen\n(S'touch attacked'\nt}\x92.",
    "persistent id": b"Pattacked\n.",
    "persistent id, binary": b"X\x08\x00\x00\x00attackedQ.",
    "extension": b"\x80\x02\x82\xf0" + TOUCH + b"tR.",
    "buffer": b"\x80\x05\x97.",
    "dotted": named("collections", "OrderedDict.__init__.__globals__"),
    "dotted module": named("numpy.core", "multiarray.fromfile"),
    "dotted admitted name": named("numpy", "ndarray.tofile"),
    "class of an admitted name": named("numpy", "dtype.__class__"),
    "own module": named("deeplab_lit.data.safe_pickle", "io.open"),
    "own stand-in": named("deeplab_lit.data.safe_pickle", "_Machine"),
    "empty module": named("", "numpy.dtype"),
    "a module that prints": named("this", "s", b""),
    "numpy runs text": named("numpy.testing._private.utils", "runstring"),
    "numpy evaluates": named("numpy.f2py.crackfortran", "myeval"),
    "numpy loads": named("numpy", "load"),
    "numpy maps files": named("numpy", "memmap"),
    "numpy imports": named("numpy._core._internal", "_makenames_list"),
    "torch loads": named("torch", "load"),
    "torch compiles": named("torch.utils.cpp_extension", "load_inline"),
    "torch makes classes": named("torch._tensor", "_rebuild_from_type_v2"),
    "codecs": named("_codecs", "decode"),
    "another encoding": pickle.dumps(State(str, (), None))[:0]
    + named("_codecs", "encode", b"X\x01\0\0\0aX\x03\0\0\0rot"),
    "nested pickle": named("pickle", "loads", b"C" + bytes([len(EVIL)]) + EVIL),
    "ndarray itself": pickle.dumps(Call(np.ndarray, (10**9,), "O")),
    "state of a function": b"\x80\x02c_codecs\nencode\n}X\x0c\x00\x00\x00__defaults__Nsb.",
    "attributes of a type": b"\x80\x02cnumpy\ndtype\n(N}X\x05\x00\x00\x00buildNstb.",
    "attributes of an array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R(N}X\x05\x00\x00\x00valueNstb.",
    "storage that is a pickle": tensor_of(EVIL),
    "storage with a pickle behind its head": tensor_of(legacy(EVIL)),
    "storage that is a zip file": tensor_of(zipped_by_torch(EVIL)),
    "storage that is a dict": tensor_of(legacy(pickle.dumps({}, 2) + pickle.dumps([], 2))),
}


def forms(folder, content):
    """The files that may hold a pickle."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})
    (folder / "a.npy").write_bytes(head.getvalue() + content)
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("cam.npy", head.getvalue() + content)
    (folder / "a.pkl").write_bytes(content)
    (folder / "b.pth").write_bytes(content)
    (folder / "c.pth").write_bytes(legacy(content))
    (folder / "d.pth").write_bytes(zipped_by_torch(content))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("content", RUN.values(), ids=RUN.keys())
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_is_run(tmp_path, monkeypatch, capfd, content):
    copyreg.add_extension("os", "system", 240)
    try:
        (tmp_path / "work").mkdir()
        (tmp_path / "files").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        before = set(sys.modules)
        for file in forms(tmp_path / "files", content):
            with pytest.raises(UserError) as caught:
                read_arrays(file, MOST)
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
        assert not list((tmp_path / "work").iterdir()), "the attack worked"
        assert not {"this", "numpy.f2py", "numpy.testing", "torch.utils.cpp_extension"} & (set(sys.modules) - before)
        assert not capfd.readouterr().out
    finally:
        copyreg.remove_extension("os", "system", 240)
    # and no attack has changed how the next file is read
    assert read_pickle(pickle.dumps({5: np.ones(2, "f4"), "a": b"b"}, 2), MOST)[5].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["os.system", "open", "eval", "instance", "object", "storage that is a pickle"])
def test_the_attacks_work_on_pickle_itself(tmp_path, monkeypatch, name):
    """Or this file would show nothing."""
    monkeypatch.chdir(tmp_path)
    with suppress(pickle.UnpicklingError, RuntimeError):  # PyTorch looks for more behind the pickle that it has run
        pickle.loads(RUN[name])
    assert (tmp_path / "attacked").exists()


def nested(middle, times):
    """``middle`` in pairs of itself, as deep as ``times`` says: 2 ** times of it to whoever looks at each."""
    return middle + b"\x94" + b"".join(b"h" + bytes([i]) + b"\x86\x94" for i in range(times))


DEEP = b"\x80\x04)" + b"\x85" * 50_000
WIDE = b"\x80\x04" + nested(b")", 100)
HUGE = struct.pack("<Q", 1 << 60)
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
F4 = b"cnumpy\ndtype\nU\x02f4\x85R"
U1 = b"cnumpy\ndtype\nU\x02u1\x85R"
TEXT = b"\x80\x04U\xff" + b"a" * 255 + b"\x94"
BOMBS = {
    "bytes": b"\x80\x04\x8e" + HUGE + b"abc.",
    "bytearray": b"\x80\x05\x96" + HUGE + b"abc.",
    "text": b"\x80\x04\x8d" + HUGE + b"abc.",
    "integer": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "digits": b"I" + b"9" * 50_000 + b"\n.",
    "array": b"\x80\x02" + ARRAY + b"K\x01J\xff\xff\xff\x7f\x86" + F4 + b"\x89U\x00tb.",
    "array of objects": b"\x80\x02" + ARRAY + b"J\xff\xff\xff\x7f\x85cnumpy\ndtype\nU\x01O\x85R\x89]tb.",
    "array of nothing": b"\x80\x02" + ARRAY + b"J\xff\xff\xff\x7fK\x00\x86" + F4 + b"\x89U\x00tb.",
    "negative side": b"\x80\x02" + ARRAY + b"J\xff\xff\xff\xff\x85" + F4 + b"\x89U\x00tb.",
    "deep key": b"}" + DEEP[2:] + b"Ns.",
    "wide key": WIDE[:2] + b"}" + nested(b")", 100) + b"Ns.",
    "wide shape": b"\x80\x04" + nested(b")", 100) + ARRAY + b"hd" + F4 + b"\x89U\x00tb.",
    "wide type": WIDE + b"cnumpy\ndtype\nhd\x85R.",
    "wide encoding": WIDE + b"c_codecs\nencode\nU\x01ahd\x86R.",
    "wide name": WIDE + b"hdhd\x93.",
    "many arguments": TEXT + ARRAY[:-5] + b"h\x00R.",
    "pairs of an ordered dict": pickle.dumps(Call(collections.OrderedDict, [("a", 1)])),
    "texts": TEXT + b"]\x94(" + b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 9000 + b"e.",
    "arrays of texts": TEXT + b"](" + (ARRAY + b"K\xff\x85" + U1 + b"\x89h\x00tb") * 3000 + b"e.",
    "steps": b"\x80\x02" + b"N" * 10**6 + b".",
    "lists": b"\x80\x02" + b"(" * 99_000 + b"l" * 99_000,
    "empty storage": tensor_of(b""),
}  # fmt: skip


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_go_off_in_bounds(content):
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        read_pickle(content, MOST)
    assert time.process_time() - start < 2
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "content", [b"\x80\x02Nr\xff\xff\xff\x7f.", b"Np99999999999999999999\n.", b"\x80\x04\x95" + HUGE + b"N."]
)
def test_numbers_that_pickle_makes_room_for_take_none(content):
    assert read_pickle(content, MOST) is None


@pytest.mark.parametrize("content", [DEEP, WIDE], ids=["deep", "wide"])
def test_values_that_are_deep_or_wide_are_not_looked_into(tmp_path, content):
    """They take no more memory than their file, but printing or comparing them would not end."""
    (tmp_path / "a.pkl").write_bytes(content + b".")
    assert isinstance(read_arrays(tmp_path / "a.pkl", MOST), tuple)


def tensor(storage, offset, size, stride):
    content = io.BytesIO()
    torch.save(storage._typed_storage(), content, _use_new_zipfile_serialization=False)
    whole = Call(torch.storage._load_from_bytes, content.getvalue())
    return pickle.dumps(Call(torch._utils._rebuild_tensor_v2, whole, offset, size, stride, False, {}))


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(3, (2,), (1,)), (0, (2, 3), (3, 1)), (-1, (1,), (1,)), (0, (3,), (-1,)), (0, (2**62, 4), (0, 0)),
     (2**70, (1,), (1,)), (0, (2,), (2**63,)), (0, (2,), ()), (0, (10**9,), (0,)), (1.0, (1,), (1,))],
)  # fmt: skip
def test_tensors_see_no_memory_but_their_own(offset, size, stride):
    with pytest.raises(UserError):
        read_pickle(tensor(torch.zeros(4), offset, size, stride), MOST)


def test_what_pytorch_reads_of_a_storage_unpacks_no_zip_file():
    file = io.BytesIO()
    torch.save(torch.zeros(10**6)._typed_storage(), file)
    packed = io.BytesIO()
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for info in whole.infolist():
            archive.writestr(info.filename, whole.read(info))
    assert len(packed.getvalue()) < 10_000
    with pytest.raises(UserError, match="a tensor that is not saved as tensors inside of pickles are"):
        read_pickle(tensor_of(packed.getvalue()), 10**7)


def test_no_name_is_admitted_but_these():
    assert set(safe_pickle._Machine(1)._calls) == {
        "_codecs.encode", "__builtin__.bytes", "collections.OrderedDict", "numpy.dtype",
        "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "numpy._core.numeric._frombuffer",
        "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "numpy.core.numeric._frombuffer",
        "torch._utils._rebuild_tensor_v2", "torch.storage._load_from_bytes",
    }  # fmt: skip

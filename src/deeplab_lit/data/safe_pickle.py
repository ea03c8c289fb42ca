"""Pickles read as data: plain values, NumPy's arrays and PyTorch's tensors are built of them, and nothing is run.

Python's own unpickler calls whatever function a file names. The interpreter here knows the opcodes that such values
need, and of names only those that NumPy and PyTorch write for arrays and tensors. For each of these it has a function
of its own.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.utils.errors import UserError, one_line

MOST_STEPS = 100_000
"""How many opcodes a pickle may have unless told; a file of 81 maps has about 3,000."""
_DTYPE = re.compile(r"[biuf][1248]|[US]\d{1,4}|O8?")
_PUSHED = frozenset(
    ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT", "UNICODE", "BINUNICODE",
     "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINSTRING",
     "SHORT_BINSTRING")
)  # fmt: skip
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_TUPLE": tuple, "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}  # fmt: skip
_MARK = object()


def read_pickle(content: bytes, most: int, steps: int = MOST_STEPS) -> Any:
    """The value that a pickle describes, of dicts, lists, tuples, str, bytes, int, float, bool, None and arrays.

    Tensors become arrays, NumPy's scalars plain numbers, and an array of one object the object.

    Args:
        content: the bytes of the pickle.
        most: how many bytes an array may have, and all that is copied out of ``content`` together.
        steps: how many opcodes it may have.

    Raises:
        UserError: the pickle names anything else, is damaged, or needs more than it may.
    """
    machine = _Machine(most)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > steps:
                raise UserError(f"it is a pickle of more than {steps} steps, more than its content needs.")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
        raise UserError("it is a pickle without an end: write it again.")
    except UserError:
        raise
    except Exception as error:  # a damaged pickle makes NumPy, PyTorch and this module raise errors of many types
        raise UserError(f"it is a damaged pickle ({one_line(error)}): write it again.") from error


@dataclass(frozen=True)
class _Name:
    """A name that the pickle gave, such as ``numpy.ndarray``."""

    text: str


class _DType:
    """A type of array elements, whose byte order is told after the pickle has named it."""

    def __init__(self, name: str, *_: Any) -> None:
        if not _DTYPE.fullmatch(name):
            raise UserError(f"it holds an array of type {name[:40]!r}: arrays of numbers are read.")
        self.value = np.dtype(name)

    def build(self, state: Any) -> None:
        if any(each is not None for each in state[2:5]):
            raise UserError("it holds an array of records: arrays of numbers are read.")
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """An array, whose shape and content are told after the pickle has asked for it."""

    value: Any = None

    def __init__(self, make: Callable[..., NDArray[Any]]) -> None:
        self._make = make

    def build(self, state: Any) -> None:
        _, shape, dtype, is_fortran, raw = state
        if dtype.value.hasobject:
            if shape != () or not isinstance(raw, list) or len(raw) != 1:
                raise UserError("it holds an array of Python objects: save a dict of arrays, or an array of numbers.")
            (self.value,) = raw
            return
        self.value = self._make(raw, dtype, shape, "F" if is_fortran else "C")


def _sides(shape: Any, itemsize: int, most: int) -> tuple[int, ...]:
    """``shape`` itself, after a check that it is one and that an array of it has at most ``most`` bytes."""
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("an array's shape is no tuple of whole numbers")
    if math.prod(shape) * itemsize > most or max(shape, default=0) > most:
        raise UserError(f"it holds an array of {math.prod(shape) * itemsize} bytes, more than its image can need.")
    return shape


def _empty_dict() -> dict[Any, Any]:
    """What an ordered dict begins as; unlike ``dict`` it takes no content, whose keys nobody would check."""
    return {}


def _plain(value: Any) -> Any:
    """``value``, or what an array or a type stands for."""
    return value.value if isinstance(value, (_Array, _DType)) else value


class _Machine:
    """The stack and the memo of a pickle; see the documentation of :mod:`pickletools` for the opcodes."""

    def __init__(self, most: int) -> None:
        self._most, self._left = most, most
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._calls: dict[str, Callable[..., Any]] = {
            "numpy.dtype": _DType,
            "_codecs.encode": self._encode,
            "__builtin__.bytes": lambda: b"",  # as old protocols write no bytes
            "collections.OrderedDict": _empty_dict,
            "torch.storage._load_from_bytes": self._storage,
            "torch._utils._rebuild_tensor_v2": self._tensor,
        }
        for core in ("numpy.core", "numpy._core"):
            self._calls[f"{core}.multiarray._reconstruct"] = lambda *_: _Array(self._array)
            self._calls[f"{core}.multiarray.scalar"] = lambda dtype, raw: self._array(raw, dtype, (), "C").item()
            self._calls[f"{core}.numeric._frombuffer"] = self._array

    def pop(self) -> Any:
        return _plain(self._stack.pop())

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in ("PROTO", "FRAME"):
            return
        if opcode in _PUSHED:
            self._stack.append(argument)
        elif opcode in _MADE:
            self._stack.append(_MADE[opcode]())
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if opcode == "MEMOIZE" else argument] = self._stack[-1]
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif opcode == "GLOBAL":
            self._name(argument.replace(" ", "."))
        elif handler := getattr(self, f"_do_{opcode.lower()}", None):
            handler()
        else:
            raise UserError(f"it is a pickle with the step {opcode}, which no array, tensor or plain value needs.")

    # ---- one method for each opcode, named after it

    def _do_mark(self) -> None:
        self._stack.append(_MARK)

    def _do_tuple(self) -> None:
        self._stack.append(tuple(self._after_mark()))

    def _do_tuple1(self) -> None:
        self._stack.append((self._stack.pop(),))

    def _do_tuple2(self) -> None:
        self._stack[-2:] = [tuple(self._stack[-2:])]

    def _do_tuple3(self) -> None:
        self._stack[-3:] = [tuple(self._stack[-3:])]

    def _do_list(self) -> None:
        self._stack.append([_plain(each) for each in self._after_mark()])

    def _do_dict(self) -> None:
        pairs = self._after_mark()
        self._stack.append(self._pairs({}, pairs))

    def _do_append(self) -> None:
        value = self.pop()
        self._stack[-1].append(value)

    def _do_appends(self) -> None:
        values = self._after_mark()
        self._stack[-1].extend(_plain(each) for each in values)

    def _do_setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self._pairs(self._stack[-1], [key, value])

    def _do_setitems(self) -> None:
        pairs = self._after_mark()
        self._pairs(self._stack[-1], pairs)

    def _do_stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not all(type(each) is str and len(each) < 200 for each in (module, name)):
            raise ValueError("a name that is none")
        self._name(f"{module}.{name}")

    def _do_reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        call = self._calls.get(function.text) if isinstance(function, _Name) else None
        if call is None:
            raise UserError("it is a pickle that calls what is no function: nothing of it was run.")
        if not isinstance(arguments, tuple) or len(arguments) > 8:
            raise ValueError("a call without its arguments")
        self._stack.append(call(*arguments))

    def _do_build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(target, (_Array, _DType)):
            raise UserError(f"it is a pickle that sets the state of a {type(target).__name__}: nothing of it was run.")
        target.build(state)

    # ----

    def _after_mark(self) -> list[Any]:
        start = len(self._stack) - 1
        while self._stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise ValueError("a mark is missing")
        values = self._stack[start + 1 :]
        del self._stack[start:]
        return values

    @staticmethod
    def _pairs(target: Any, values: list[Any]) -> dict[Any, Any]:
        """``target`` with keys and values in turn put in; a key is a text or a whole number.

        A tuple as a key could be so deep that Python's hash of it crashes.
        """
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError("no pairs for a dict")
        for key, value in zip(map(_plain, values[::2]), values[1::2], strict=True):
            if type(key) not in (str, int):
                raise UserError(f"it holds a dict with a key of type {type(key).__name__}: keys are names or numbers.")
            target[key] = _plain(value)
        return target

    def _name(self, name: str) -> None:
        if name not in self._calls and name != "numpy.ndarray":
            raise UserError(
                f"it is a pickle that names {name[:80]}, which no array, tensor or plain value needs: nothing of it "
                "was run."
            )
        self._stack.append(_Name(name))

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise UserError(f"it unpacks to more than {self._most} bytes, more than its image can need.")

    def _encode(self, text: str, encoding: str = "latin-1") -> bytes:
        """Bytes, as old protocols write them."""
        if encoding not in ("latin1", "latin-1"):
            raise UserError("it is a pickle of text in another encoding than Latin-1: nothing of it was run.")
        self._spend(len(text))
        return text.encode("latin-1")

    def _array(self, raw: Any, dtype: _DType, shape: Any, order: Any) -> NDArray[Any]:
        """An array on the memory of ``raw``; Python 2 wrote bytes as text."""
        sides = _sides(shape, dtype.value.itemsize, self._most)
        if 0 in sides:
            return np.empty(sides, dtype.value)
        array: NDArray[Any] = np.frombuffer(self._encode(raw) if isinstance(raw, str) else raw, dtype.value)
        return array.reshape(sides, order="F" if order == "F" else "C")

    def _storage(self, content: bytes) -> NDArray[Any]:
        """The elements of a tensor's storage, in PyTorch's format without a zip file."""
        import torch

        if not content.startswith(b"\x80\x02"):  # a zip file could unpack to any size
            raise UserError("it holds a tensor that is not saved as tensors inside of pickles are: save arrays.")
        self._spend(len(content))
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(storage, torch.storage.TypedStorage):
            raise ValueError("a tensor without storage")
        return as_array(torch.empty(0, dtype=storage.dtype).set_(storage))

    def _tensor(self, storage: NDArray[Any], offset: int, size: Any, stride: Any, *_: Any) -> NDArray[Any]:
        if not isinstance(storage, np.ndarray) or storage.ndim != 1:
            raise ValueError("a tensor without storage")
        shape = _sides(size, storage.itemsize, self._most)
        if any(type(each) is not int or each < 0 for each in (offset, *stride)):
            raise ValueError("a tensor whose strides are no whole numbers")
        if 0 in shape:
            return np.empty(shape, storage.dtype)
        last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
        if last >= len(storage):
            raise UserError("it holds a tensor that is larger than its storage: write it again.")
        by = [step * storage.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, by, writeable=False)


def as_array(tensor: Any) -> NDArray[Any]:
    """The array of a tensor on the CPU; bfloat16, which NumPy lacks, becomes float32."""
    import torch

    tensor = tensor.detach()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array

"""Read files of weights of this library and of other code bases, recognised by their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import weights_file
from deeplab_lit.weights import caffe
from deeplab_lit.weights.description import CHECKPOINT_KEY, checked, from_text
from deeplab_lit.weights.exported_program import is_program, read_program
from deeplab_lit.weights.onnx_graph import is_onnx
from deeplab_lit.weights.pytorch_files import load_file
from deeplab_lit.weights.recognition import convert_state_dict


def read(path: str | Path, rates: Sequence[int] | None = None) -> dict[str, Any]:
    """The content of a file of weights, in the form of this library's checkpoints, with tensors on the CPU.

    No code in the file is run: PyTorch files are read with ``weights_only=True``.

    Args:
        path: a file, or an https:// or hf:// URL, which is fetched once into a cache folder: a checkpoint,
            ``.safetensors`` or exported program (``.pt2``) of this library, a state dict of torchvision or of a
            PyTorch DeepLab (:func:`deeplab_lit.weights.state_dicts.known`), or a ``.caffemodel``. A run directory
            stands for its best checkpoint.
        rates: of the classifiers that the network sums, for a file that cannot tell: all four, ``[6, 12, 18, 24]``, or
            ``[6, 12]``.

    Returns:
        ``state_dict``, ``global_step``, and under ``CHECKPOINT_KEY`` the description of the network.

    Raises:
        UserError: there is no such file, it cannot be read, it would run code, its layout is not recognised, it cannot
            tell its rates and none are given, or it has others than those given.
    """
    path = weights_file(path)
    found = _read(path)
    if CHECKPOINT_KEY not in found:
        found = convert_state_dict(found, str(path), rates).content()
    content = checked(found, str(path))
    if rates is not None:
        _check_rates(content[CHECKPOINT_KEY], rates, path)
    return content


def _check_rates(about: Mapping[str, Any], rates: Sequence[int], path: Path) -> None:
    own = (about["network"]["model"] or {}).get("rates")
    if own != list(rates):
        tells = f"the rates {own}" if own else "no rates to choose"
        raise UserError(f"rates={list(rates)}: {path} has {tells}; leave rates out.")


def _read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, or a state dict of another code base."""
    with path.open("rb") as file:
        first = file.read(9)
    # first, since the length of its header may look like the beginning of another format
    if first[8:9] == b"{" and int.from_bytes(first[:8], "little") < path.stat().st_size:
        return _from_safetensors(path)
    if first[:2] == b"PK" and is_program(path):
        return read_program(path)
    if first[:2] == b"PK" or first[:1] == b"\x80":
        return _from_torch(path)
    if is_onnx(path):
        raise UserError(f"{path} is an ONNX graph, to be evaluated, not trained: give what it was exported from.")
    return _from_caffe(path)


def _from_caffe(path: Path) -> dict[str, Any]:
    layers = caffe.parse(path.read_bytes(), str(path))
    try:
        return caffe.convert(layers, str(path)).content()
    except UserError:
        raise
    except (LookupError, ValueError, TypeError) as error:  # the names of a known net, but damaged content
        raise UserError(f"{path} is damaged: its layers do not make a net ({error}).") from error


def _from_torch(path: Path) -> dict[str, Any]:
    content = load_file(path, "a checkpoint")
    if isinstance(content, dict) and CHECKPOINT_KEY in content:
        return content
    state = _state_dict(content)
    if state is None:
        held = (
            f"a dict with {', '.join(map(str, list(content)[:4]))}"
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise UserError(f"{path} holds {held}, not tensors by name: a checkpoint or a state dict is wanted.")
    return state


def _state_dict(content: Any) -> dict[str, Tensor] | None:
    """The tensors by name: the content itself, or the value of one of the usual keys."""
    if not isinstance(content, dict) or not content:
        return None
    if all(isinstance(value, Tensor) for value in content.values()):
        return dict(content)
    for key in ("state_dict", "model_state_dict", "model"):
        if found := _state_dict(content.get(key)):
            return found
    return None


def _from_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            about = (file.metadata() or {}).get(CHECKPOINT_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from error
    return state if about is None else {**from_text(about, str(path)), "state_dict": state}

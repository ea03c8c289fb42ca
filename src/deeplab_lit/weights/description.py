"""The description of a network in its checkpoint, from which the network is rebuilt."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.utils.errors import UserError

CHECKPOINT_KEY = "deeplab_lit"


def describe(
    network_spec: dict[str, Any],
    labels: LabelSet | None,
    normalization: Normalization,
    eval_size: int = 513,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The description of a network, its classes (None: it has no classifier) and its input, as builtins."""
    names = list(labels.names) if labels else []
    palette = [list(colour) for colour in labels.palette] if labels else []
    norm = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(normalization).items()}
    about = {
        "version": 1,
        "network": network_spec,
        "labels": {"names": names, "palette": palette},
        "normalization": norm,
    }
    return {**about, "eval_size": eval_size, "data": data}


def for_others(about: Mapping[str, Any]) -> dict[str, Any]:
    """A description without the config of the data set, which holds paths of the machine of the training."""
    return {**copy.deepcopy(dict(about)), "data": None}


def to_text(content: Mapping[str, Any]) -> str:
    """The description in a checkpoint as one line of JSON, for the metadata of other formats."""
    return json.dumps({"about": content[CHECKPOINT_KEY], "global_step": content["global_step"]})


def from_text(text: str, source: str) -> dict[str, Any]:
    """The description and the step in a text of :func:`to_text`, under a checkpoint's keys; UserError if it is none."""
    try:
        found = json.loads(text)
        return {CHECKPOINT_KEY: found["about"], "global_step": found["global_step"]}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{source} is damaged: what it says of itself cannot be read ({error}).") from error


def checked(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A checkpoint's content, after a check of its description and of its weights.

    Raises:
        UserError: a part is not of the form that :func:`describe` gives; the message names it.
    """
    about = content[CHECKPOINT_KEY]
    for part, right in _RIGHT.items():
        try:
            fine = right(about, content)
        except (LookupError, TypeError, ValueError, AttributeError):
            fine = False
        if not fine:
            raise UserError(f"{source} is damaged: its {part} is not what a checkpoint of this library holds.")
    return dict(content)


def _numbers(values: Any, count: int | None = None) -> bool:
    right = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    return right and (count is None or len(values) == count)


def _component(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("_target_"), str)


def _palette(names: list[Any], palette: list[Any]) -> bool:
    colours = all(len(colour) == 3 and all(0 <= int(part) <= 255 for part in colour) for colour in palette)
    return len(names) == len(palette) <= 65536 and all(type(name) is str for name in names) and colours


def _is_dense(value: Any) -> bool:
    """Whether a value is a tensor of real numbers that can be copied into a parameter."""
    right = isinstance(value, Tensor) and value.layout is torch.strided
    return right and not (value.is_quantized or value.is_complex())


_RIGHT: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
    "network": lambda about, _: (
        _component(about["network"]["backbone"])
        and (about["network"]["model"] is None or _component(about["network"]["model"]))
        and _numbers(about["network"]["scales"])
        and 0 < len(about["network"]["scales"]) <= 32
        and type(about["network"]["align_corners"]) is bool
        and about["network"].get("channels", 3) == len(about["normalization"]["mean"])
    ),
    "label set": lambda about, _: _palette(about["labels"]["names"], about["labels"]["palette"]),
    "normalization": lambda about, _: (
        _numbers(about["normalization"]["mean"])
        and _numbers(about["normalization"]["std"], len(about["normalization"]["mean"]))
        and 0 < len(about["normalization"]["mean"]) <= 4096
        and min(about["normalization"]["std"]) > 0
        and type(about["normalization"]["bgr"]) is bool
        and (not about["normalization"]["bgr"] or len(about["normalization"]["mean"]) >= 3)
        and about["normalization"].get("bits", 8) in (8, 16)
    ),
    "data": lambda about, _: isinstance(about.get("data"), (dict, type(None))),
    "source": lambda about, _: (
        "source" not in about or (type(about["source"]) is str and all(type(note) is str for note in about["notes"]))
    ),
    "evaluation size": lambda about, _: 0 < about.get("eval_size", 513) <= 65536,
    "step": lambda _, content: type(content["global_step"]) is int,
    "state dict": lambda _, content: (
        isinstance(content["state_dict"], dict)
        and all(type(name) is str and _is_dense(value) for name, value in content["state_dict"].items())
    ),
}

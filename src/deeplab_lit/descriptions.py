"""What a checkpoint says of itself, so that it can be rebuilt from the file alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.transforms import Normalization

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
    spec = {
        part: {key: value for key, value in config.items() if key != "recipe"} if isinstance(config, dict) else config
        for part, config in network_spec.items()
    }
    norm = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(normalization).items()}
    about = {"version": 1, "network": spec, "labels": {"names": names, "palette": palette}, "normalization": norm}
    return {**about, "eval_size": eval_size, "data": data}


def to_text(content: Mapping[str, Any]) -> str:
    """What a checkpoint says of itself as one line of JSON, for the metadata of other formats."""
    return json.dumps({"about": content[CHECKPOINT_KEY], "global_step": content["global_step"]})


def from_text(text: str) -> dict[str, Any]:
    """The description and the step that :func:`to_text` wrote, under a checkpoint's keys."""
    found = json.loads(text)
    return {CHECKPOINT_KEY: found["about"], "global_step": found["global_step"]}

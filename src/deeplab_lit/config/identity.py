"""Which keys of a config decide what is computed; the others say where it goes, how fast, and how it is watched.

A run, a folder of labels or a search is gone on with where these keys are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NOT_THE_WEIGHTS = (
    "name", "output", "resume", "preview", "roots", "row", "crf", "logger", "pictures", "num_workers", "decoded_gb",
    "eval_batch_size", "atrous", "channels_last", "compile", "on_nan",
)  # fmt: skip
"""Keys of a training that leave its weights as they are, but for rounding.

``crf`` is one unless it is trained. ``on_nan`` matters to a training that would have stopped otherwise.
"""

_NOT_THE_WEIGHTS_IN = {
    "data": ("recipe", "check", "check_against", "converted", "cache", "download"),
    "backbone": ("recipe",),
    "model": ("recipe",),
    "scales": ("recompute",),
}
"""The same inside groups. What a recipe says has come to its place elsewhere in the config."""

_OF_THE_TRAINER = (
    "precision", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches",
    "overfit_batches",
)  # fmt: skip
"""Arguments of ``lightning.Trainer`` that change the weights; all others say where it runs and what it prints."""

PREDICTION = ("checkpoint", "scales", "flip", "window", "overlap", "crf")
"""Keys of ``predict`` that decide the labels."""

REFINEMENT = ("images", "probabilities", "crf")
"""Keys of ``refine`` that decide the labels."""

CRF_SEARCH = (*PREDICTION, "data", "split", "images", "held_out", "seed")
"""Keys of ``crf_search`` that decide the score of each point."""

OF_THE_STUDY = ("search", "space", "name", "output", "resume")
"""Keys of ``tune`` that are no part of its trials."""

OF_THE_ROW = ("experiments", "seed", "name", "resume")
"""Keys of a row of a table that are no part of the row that it starts from."""


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a training's resolved config that decides its weights."""
    left = dict(config)
    for key in _NOT_THE_WEIGHTS:
        left.pop(key, None)
    for group, keys in _NOT_THE_WEIGHTS_IN.items():
        if isinstance(left.get(group), Mapping):
            left[group] = {key: value for key, value in left[group].items() if key not in keys}
    if isinstance(left.get("trainer"), Mapping):
        left["trainer"] = {key: left["trainer"].get(key) for key in _OF_THE_TRAINER}
    if (config.get("crf") or {}).get("trainable"):
        left["crf"] = config["crf"]
    if (config.get("row") or {}).get("start_run"):
        left["start_run"] = config["row"]["start_run"]
    return left


def differing(configs: Sequence[Mapping[str, Any]], seed: bool = False) -> dict[str, list[Any]]:
    """The deciding keys, and those of the CRF, that are not the same in all trainings: dotted names and each's value.

    Without ``seed`` it is left out. A key that a config lacks is None there.
    """
    flat = [dict(_flat({**deciding(each), "crf": each.get("crf")})) for each in configs]
    keys = sorted({key for each in flat for key in each if seed or key != "seed"})
    found = {key: [each.get(key) for each in flat] for key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return found

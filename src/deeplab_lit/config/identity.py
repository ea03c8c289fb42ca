"""The identity of a training: the part of its config that decides the weights.

A schema marks each key that decides the result (:func:`deeplab_lit.config.keys.key`). This module does the
same for groups that have no schema, such as ``data`` and ``trainer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deeplab_lit.config.command_schemas import (
    CRFSearchConfig,
    EvaluateConfig,
    PredictConfig,
    PseudoConfig,
    RefineConfig,
    UseConfig,
)
from deeplab_lit.config.keys import deciding_keys
from deeplab_lit.config.schemas import ScalesConfig, TrainConfig

_BESIDE_THE_DATA = ("recipe", "check", "check_against", "converted", "cache", "download")
"""Keys inside ``data``, ``backbone`` and ``model`` that do not decide the weights.

They hold places of files, checks, or recipes. The values of recipes are in other keys of the composed config.
"""

_OF_THE_TRAINER = (
    "precision", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "limit_val_batches",
    "overfit_batches",
)  # fmt: skip
"""Arguments of ``lightning.Trainer`` that change the weights or which checkpoint is the best."""

_OF_EARLIER_RELEASES: dict[str, dict[str, Any]] = {
    "loss": {
        "pixel_weights": None, "balanced": False, "threshold": None, "min_kept": 0, "dense_energy": 0.0,
        "energy_rgb_std": 15.0, "energy_xy_std": 100.0, "energy_scale": 0.5,
    },
    "schedule": {"every": 1},
    "init": {"rates": None},
    "data": {
        "val_list": None, "crowds": "void", "missing_masks": "refuse", "channels": 3, "bits": 8, "mean": None,
        "std": None,
    },
    "crf": {"certainty": None, "image": "rgb", "channels": None},
}  # fmt: skip
"""Keys of a training's groups that configs of earlier releases lack, with the values at which they train as those did.

A key at this value is left out, so that earlier runs are found.
"""

_KEYS_OF_EARLIER_RELEASES = {"keep": "best"}
"""The same for keys outside of groups."""

USE_OF_EARLIER_RELEASES = {
    "fusion": "max_scores", "flip_scales": False, "max_side": None, "channels": 3, "bits": 8,
}  # fmt: skip
"""The same for the keys of the commands that use a trained network."""

EVALUATION = deciding_keys(EvaluateConfig)
"""Keys of ``evaluate`` that decide the scores."""

PREDICTION = deciding_keys(PredictConfig)
"""Keys of ``predict`` that decide the labels."""

REFINEMENT = deciding_keys(RefineConfig)
"""Keys of ``refine`` that decide the labels."""

PSEUDO_LABELS = deciding_keys(PseudoConfig)
"""Keys of ``pseudo`` that decide the masks."""

CRF_SEARCH = deciding_keys(CRFSearchConfig)
"""Keys of ``crf_search`` that decide the score of each point."""

OF_THE_STUDY = ("search", "space", "name", "output", "resume")
"""Keys and groups whose overrides ``tune`` does not pass on to its trials."""

OF_THE_ROW = ("experiments", "seed", "name", "resume")
"""Keys and groups whose overrides a row does not pass on to the row that it starts from."""


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a training's resolved config that decides its weights.

    The number of processes does not: the batch of a step is that of all processes together. The CRF belongs to it if it
    is trained with the network. For a row that starts from another row, so does the
    fingerprint of that row's training.
    """
    left = {name: config[name] for name in deciding_keys(TrainConfig) if name in config}
    left = _without(left, _KEYS_OF_EARLIER_RELEASES)
    each = left.pop("batch_size", None)
    if left.get("global_batch_size") is None and each is not None:  # the config of an earlier release
        left["global_batch_size"] = each * ((left.get("trainer") or {}).get("accumulate_grad_batches") or 1)
    for group, kept in (("data", None), ("backbone", None), ("model", None), ("scales", deciding_keys(ScalesConfig))):
        if isinstance(left.get(group), Mapping):
            left[group] = {
                name: value.rstrip("/") if isinstance(value, str) else value  # FOLDER/ is FOLDER
                for name, value in left[group].items()
                if name not in _BESIDE_THE_DATA and (kept is None or name in kept)
            }
    if isinstance(left.get("trainer"), Mapping):
        left["trainer"] = {name: left["trainer"].get(name) for name in _OF_THE_TRAINER}
    if (config.get("crf") or {}).get("trainable"):
        left["crf"] = config["crf"]
    for group in _OF_EARLIER_RELEASES:
        if isinstance(left.get(group), Mapping):
            left[group] = _without(left[group], _OF_EARLIER_RELEASES[group])
    if (config.get("row") or {}).get("start_run"):
        left["start_run"] = config["row"]["start_run"]
    return left


def deciding_of_use(config: UseConfig | RefineConfig, names: Sequence[str]) -> dict[str, Any]:
    """The keys of a command among ``names``, such as :data:`PREDICTION`, with their values as builtins."""
    told = asdict(config)
    return _without({name: told[name] for name in told if name in names}, USE_OF_EARLIER_RELEASES)


def _without(values: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in before or value != before[name]}


def differing(configs: Sequence[Mapping[str, Any]], seed: bool = False) -> dict[str, list[Any]]:
    """The deciding keys, and the keys of the CRF, whose values differ between trainings.

    Args:
        configs: the resolved config of each training.
        seed: whether to compare the seed too.

    Returns:
        From the dotted name of a key to its value in each config, None where a config lacks the key.
    """
    flat = [dict(_flat({**deciding(each), "crf": each.get("crf")})) for each in configs]
    names = sorted({name for each in flat for name in each if seed or name != "seed"})
    values = {name: [each.get(name) for each in flat] for name in names}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in config.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return pairs

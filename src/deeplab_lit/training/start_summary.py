"""The start summary of a training: what it logs before its first step."""

from __future__ import annotations

from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig

from deeplab_lit.config.compose import choices
from deeplab_lit.config.recipes import BackboneRecipe, DataRecipe, recipe
from deeplab_lit.config.schemas import CRFConfig, DenseCRFConfig, ImageNetConfig, LossConfig, TrainConfig
from deeplab_lit.data.decoded_cache import decoded_folder
from deeplab_lit.models.analysis import map_side
from deeplab_lit.models.network import deeplab_of
from deeplab_lit.training.build import Training
from deeplab_lit.training.log import log
from deeplab_lit.utils.parallel import cores
from deeplab_lit.utils.terminal import beside, output_width

_PUBLISHED_MAP = 41  # pixels a side of the maps that the published rates are for
_OF_THE_DATA = ("train_masks", "train_list", "val_list")  # what departs from the data set's own
_PLACE = 11  # the column at which the text begins


def show_summary(training: Training) -> None:
    """Log the summary before the first step: data, network, initial weights, schedule, device, run directory."""
    config, run, data = training.config, training.run, training.data
    parts = {
        "data": [
            f"{len(data.train_split)} training and {len(data.val_split)} validation images, {len(data.labels)} classes",
            str(getattr(data.source, "root", "")),
            *(f"{key}={config.data[key]}" for key in _OF_THE_DATA if config.data.get(key) is not None),
        ],
        "decoded": [config.decoded_gb and f"at most {config.decoded_gb:g} GB of them kept in {decoded_folder()}"],
        "network": _network(training),
        "rates": _rates(training),
        "input": _input(training),
        "start": training.started or [f"{config.init.name} weights"],
        "training": _training(training),
        "optimizer": _optimizer(config),
        "CRF": _crf(config.crf),
        "device": _device(training),
        "outputs": [str(run.folder), run.resume_from and f"resumed from {run.resume_from}"],
        "resume": []
        if run.other is None
        else [
            f"a new run begins: no run named {config.name} was trained with these values",
            f"the newest that differs is {run.other} (there -> here):",
        ],
        "changed": list(run.changes),
        "warning": [data.unseen],
    }
    width = output_width()
    for name, phrases in parts.items():
        told = [str(each) for each in phrases if each]  # type: ignore[attr-defined]
        lines = [beside(name if each is told[0] else "", each, _PLACE, width) for each in told]
        if lines:
            log.info("%s", "\n".join(line for each in lines for line in each))


def _of(group: str, value: Any, default: Any, more: str = "") -> str:
    """Says that a value follows from the choice of a group, where it is the default that the choice brings."""
    if default is None or value != default:
        return ""
    chosen = _choices().get(group)
    return f" (of {f'{group} {chosen}' if chosen else f'the {group}'}{more})"


def _choices() -> dict[str, str]:
    """The chosen option of each config group, as far as a command composed the config."""
    return choices() if HydraConfig.initialized() else {}


def _network(training: Training) -> list[str]:
    network = training.segmenter.network
    total = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    share = "all" if trained == total else f"{trained / 1e6:.2f}M"
    taken = [_choices().get("backbone"), _choices().get("model")]
    name = " with ".join(taken) if all(taken) else training.config.name  # type: ignore[arg-type]
    return [f"{name}, {total / 1e6:.2f}M parameters, {share} trained"]


def _rates(training: Training) -> list[str]:
    config, inner = training.config, deeplab_of(training.segmenter.network)
    rates = getattr(inner.head, "rates", None) or [getattr(inner.head, "rate", 1)]
    published, scale = config.model.get("rates") or [config.model.get("rate", 1)], config.model.get("rate_scale", 1.0)
    stride = int(inner.trunk.output_stride)  # type: ignore[arg-type]
    side, note, of_papers = map_side(config.crop_size, stride), "", f"maps of {_PUBLISHED_MAP} x {_PUBLISHED_MAP}"
    if scale != 1:
        source = "data.recipe" if scale == recipe(config.data, DataRecipe).rate_scale else "model"
        note = f"{_list(published)} published for {of_papers}, times {scale:g} ({source}.rate_scale)"
    elif side != _PUBLISHED_MAP and max(rates) > 1:
        note = f"as published for {of_papers}"
    return [f"{_list(rates)} on maps of {side} x {side} (a crop of {config.crop_size} at output stride {stride})", note]


def _input(training: Training) -> list[str]:
    config = training.config
    crop = f"crop {config.crop_size}{_of('data', config.crop_size, recipe(config.data, DataRecipe).crop_size)}"
    scaling = config.augment.scale_range or config.augment.scale_list
    return [
        f"{crop}, {'scales' if len(config.scales.factors) > 1 else 'scale'} {_list(config.scales.factors)}",
        f"augmentation: {f'random scale, {scaling}' if scaling else 'without scaling'}",
        f"{training.data.normalization} ({_of_normalization(training)})",
    ]


def _of_normalization(training: Training) -> str:
    """Where the normalisation comes from: the plan of the training decides it, and the data set completes it."""
    plan, mean = training.plan, getattr(training.data.source, "mean", None)
    if training.data.normalization != plan.normalization.in_bits(training.data.normalization.bits):
        return "of data.mean and data.std" if isinstance(mean, list) else "measured where the weights say nothing"
    if plan.weights:
        return "of the weights"
    chosen, init = plan.config.parity.normalization, plan.config.init
    return (
        "of the weights"
        if isinstance(init, ImageNetConfig) and chosen == init.normalization
        else "parity.normalization"
    )


def _training(training: Training) -> list[str]:
    config, known = training.config, recipe(training.config.data, DataRecipe)
    processes, accumulated = training.trainer.world_size, training.plan.trainer.get("accumulate_grad_batches", 1)
    shares = (f" x {processes} processes" if processes != 1 else "") + (
        f" x {accumulated} accumulated" if accumulated != 1 else ""
    )
    follows = {
        "steps": _of("data", config.max_steps, known.max_steps),
        "batch": _of("data", config.batch_size, known.batch_size),
        "validation": _of("data", config.val_every, known.val_every),
    }
    if len({*follows.values()}) == 1:  # said once
        follows = {"steps": "", "batch": "", "validation": follows["validation"]}
    batch = f"{config.global_batch_size}" + (f" = {config.batch_size}{shares}" if shares else "")
    return [
        f"{config.max_steps} steps{follows['steps']} of batch {batch}{follows['batch']}, "
        f"validation every {config.val_every}{follows['validation']}",
        f"loss {'on the map' if config.loss.resolution == 'map' else 'at full resolution'}"
        f"{_of('parity', config.loss.resolution, config.parity.loss)}"
        + _of_loss(config.loss)
        + (", rare classes more often" if config.sampling != "uniform" else ""),
        f"weights averaged with decay {config.ema:g}" if config.ema else "",
    ]


def _of_loss(loss: LossConfig) -> str:
    """What departs from the mean over all labelled pixels."""
    parts = [
        f"class weights {loss.class_weights}" if loss.class_weights != "none" else "",
        f"pixel weights {loss.pixel_weights}" if loss.pixel_weights is not None else "",
        "background and the rest averaged apart" if loss.balanced else "",
        f"hard pixels alone (probability below {loss.threshold:g})" if loss.threshold is not None else "",
        f"dense energy x{loss.dense_energy:g}" if loss.dense_energy else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _optimizer(config: TrainConfig) -> list[str]:
    told = config.optimizer
    default = getattr(recipe(config.backbone, BackboneRecipe), f"{told.name}_lr", None)
    follows = _of("backbone", told.lr, default, f" with {told.name}")
    multipliers = f"biases x{told.bias_lr:g}, new layers x{told.new_lr:g}"
    return [f"{told.name}, learning rate {told.lr:g}{follows}", f"{config.schedule.name} policy, {multipliers}"]


def _crf(config: CRFConfig) -> list[str]:
    if not isinstance(config, DenseCRFConfig):
        return []
    return [
        f"bilateral {config.bilateral_weight:g} ({config.bilateral_xy_std:g} pixels, {config.bilateral_rgb_std:g} grey "
        f"levels), Gaussian {config.gaussian_weight:g} ({config.gaussian_xy_std:g} pixels)",
        "the last layer, trained" if config.trainable else "scored with the best checkpoint",
    ]


def _list(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _device(training: Training) -> list[str]:
    device, precision = training.trainer.strategy.root_device, training.plan.trainer["precision"]
    name = f"CPU, {torch.get_num_threads()} threads of {cores()} cores"
    if device.type != "cpu":
        name = f"{torch.cuda.get_device_name(device)} ({device})" if device.type == "cuda" else "Apple GPU"
    compiled = f", {training.config.compile} compiled" if training.config.compile != "none" else ""
    # Volta and Turing lack bf16 in hardware
    slow = device.type == "cuda" and precision == "32-true" and torch.cuda.get_device_capability(device)[0] == 7
    return [f"{name}, precision {precision}{compiled}", "faster with trainer.precision=16-mixed" if slow else ""]

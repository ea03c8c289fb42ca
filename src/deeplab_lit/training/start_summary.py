"""The start summary of a training: what it logs before its first step."""

from __future__ import annotations

from typing import Any

import torch

from deeplab_lit.config.schemas import CRFConfig, DenseCRFConfig
from deeplab_lit.data.decoded_cache import decoded_folder
from deeplab_lit.models.network import deeplab_of
from deeplab_lit.training.build import Training
from deeplab_lit.training.log import log
from deeplab_lit.utils.parallel import cores


def show_summary(training: Training) -> None:
    """Log the summary before the first step: data, network, initial weights, schedule, device, run directory."""
    config, run, data, network = training.config, training.run, training.data, training.segmenter.network
    trainer, processes = training.plan.trainer, training.trainer.world_size
    total = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    head = deeplab_of(network).head
    rates = getattr(head, "rates", None) or [getattr(head, "rate", 1)]
    rate_scale = config.model.get("rate_scale", 1.0)
    published = config.model.get("rates") or [config.model.get("rate", 1)]
    note = f" (published {_list(published)}, times {rate_scale:g} for the smaller crop)" if rate_scale != 1 else ""
    multipliers = f"biases x{config.optimizer.bias_lr:g}, new layers x{config.optimizer.new_lr:g}"
    accumulate = trainer.get("accumulate_grad_batches", 1)
    rows = {
        "data": f"{len(data.train_split)} training and {len(data.val_split)} validation images, "
        f"{len(data.labels)} classes ({getattr(data.source, 'root', '')})",
        "network": f"{config.name.split('-', 1)[-1]}, {total / 1e6:.2f}M parameters, {trained / 1e6:.2f}M trained",
        "rates": f"{_list(rates)}{note}",
        "input": f"crop {config.crop_size}, scales {_list(config.scales.factors)}, augmentation "
        f"{config.augment.scale_range or config.augment.scale_list or 'without scaling'}, "
        f"{training.plan.normalization}",
        "decoded": config.decoded_gb and f"at most {config.decoded_gb:g} GB of them kept in {decoded_folder()}",
        "start": "\n           ".join(training.started) or f"{config.init.name} weights",
        "training": f"{config.max_steps} steps of batch {config.global_batch_size}"
        + (f" = {config.batch_size}" if processes * accumulate != 1 else "")
        + (f" x {processes} processes" if processes != 1 else "")
        + (f" x {accumulate} accumulated" if accumulate != 1 else "")
        + f", loss on the {'map' if config.loss.resolution == 'map' else 'full resolution'}"
        + (f", class weights {config.loss.class_weights}" if config.loss.class_weights != "none" else "")
        + (", rare classes more often" if config.sampling != "uniform" else "")
        + f", validation every {config.val_every}"
        + (f", of weights averaged with decay {config.ema:g}" if config.ema else ""),
        "optimizer": f"{config.optimizer.name}, lr {config.optimizer.lr:g}, {config.schedule.name} policy, "
        f"{multipliers}",
        "CRF": _crf(config.crf),
        "device": f"{_device(training.trainer.strategy.root_device)}, precision {trainer['precision']}"
        + (f", {config.compile} compiled" if config.compile != "none" else "")
        + _faster(training.trainer.strategy.root_device, trainer["precision"]),
        "outputs": f"{run.folder}" + (f", resumed from {run.resume_from}" if run.resume_from else ""),
    }
    for name, text in rows.items():
        if not text:
            continue
        log.info("%-10s %s", name, text)
    if run.other:
        log.info("resume     a new run begins: no run named %s was trained with these values", config.name)
        log.info("           the newest that differs is %s (there -> here):", run.other)
    for change in run.changes:
        log.info("changed    %s", change)


def _crf(config: CRFConfig) -> str:
    if not isinstance(config, DenseCRFConfig):
        return ""
    kernels = (
        f"bilateral {config.bilateral_weight:g} ({config.bilateral_xy_std:g} pixels, {config.bilateral_rgb_std:g} grey "
        f"levels), Gaussian {config.gaussian_weight:g} ({config.gaussian_xy_std:g} pixels)"
    )
    return f"{kernels}, {'the last layer, trained' if config.trainable else 'scored with the best checkpoint'}"


def _list(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads of {cores()} cores"


def _faster(device: torch.device, precision: str) -> str:
    """A hint for GPUs that lack bf16 in hardware."""
    if device.type != "cuda" or precision != "32-true" or torch.cuda.get_device_capability(device)[0] != 7:
        return ""
    return "; this GPU is faster with trainer.precision=16-mixed"

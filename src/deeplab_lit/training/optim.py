"""Optimisers with the published multipliers, and the learning-rate policies (V2, sections 4.1.1 and 4.1.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from deeplab_lit.config.schemas import (
    AdamWConfig,
    OptimizerConfig,
    PolyConfig,
    ScheduleConfig,
    SGDConfig,
    StepConfig,
)
from deeplab_lit.utils.errors import UserError


class Poly:
    """The factor ``(1 - step / max_steps) ** power``: 0 at ``max_steps`` and after it.

    It changes at multiples of ``every`` steps; the linear rise of ``warmup`` steps changes at each step.
    """

    def __init__(self, max_steps: int, power: float = 0.9, warmup: int = 0, every: int = 1) -> None:
        self.max_steps, self.power, self.warmup, self.every = max_steps, power, warmup, every

    def __call__(self, step: int) -> float:
        changed = self.max_steps if step >= self.max_steps else step // self.every * self.every
        return _rise(step, self.warmup) * (1 - changed / self.max_steps) ** self.power


class Step:
    """The factor ``factor ** (step // every)``."""

    def __init__(self, every: int = 2000, factor: float = 0.1, warmup: int = 0) -> None:
        self.every, self.factor, self.warmup = every, factor, warmup

    def __call__(self, step: int) -> float:
        return _rise(step, self.warmup) * self.factor ** (step // self.every)


def _rise(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def parameter_groups(network: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Trained parameters in groups: trunk and new layers, weights and biases, each with its multiplier.

    Biases and normalisation parameters have no weight decay. ``bias_lr`` multiplies the learning rate of biases,
    ``new_lr`` that of new layers.
    """
    new = {id(parameter) for parameter in network.new_parameters()}  # type: ignore[operator]
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        is_new, is_bias, decays = id(parameter) in new, name.endswith("bias"), parameter.ndim > 1
        kind = ("new" if is_new else "base") + ("_bias" if is_bias else "_weight" if decays else "_norm")
        lr = config.lr * (config.bias_lr if is_bias else 1) * (config.new_lr if is_new else 1)
        group = groups.setdefault(
            kind,
            {"name": kind, "params": [], "lr": lr, "weight_decay": config.weight_decay if decays else 0.0},
        )
        group["params"].append(parameter)
    return [groups[kind] for kind in sorted(groups)]


def train_only_new(network: nn.Module) -> None:
    """Freeze everything but the new layers, as V1 trains its multi-scale features (V1, section 4.3)."""
    network.requires_grad_(False)
    for parameter in network.new_parameters():  # type: ignore[operator]
        parameter.requires_grad_(True)


def build_optimizer(network: nn.Module, config: OptimizerConfig, fused: bool = False) -> torch.optim.Optimizer:
    """SGD or AdamW over :func:`parameter_groups`.

    Args:
        network, config: as there.
        fused: one operation updates all parameters, on CPUs and CUDA GPUs alone. It can leave a step out without the
            host (:class:`deeplab_lit.training.not_finite.FiniteSteps`).

    Raises:
        UserError: nothing is left to train.
    """
    groups = parameter_groups(network, config)
    if not groups:
        raise UserError("every parameter is frozen, so there is nothing to train.")
    optimizer: torch.optim.Optimizer
    if isinstance(config, SGDConfig):
        optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)
    elif isinstance(config, AdamWConfig):
        optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=fused)
    else:
        raise TypeError(f"there is no optimiser for {type(config).__name__}")
    # there is no gradient scaler beside it, and with one Lightning would refuse to clip gradients
    optimizer._step_supports_amp_scaling = False
    return optimizer


def build_schedule(optimizer: torch.optim.Optimizer, config: ScheduleConfig, max_steps: int) -> LambdaLR:
    """The policy as a scheduler that is stepped once for each optimiser step."""
    policy: Poly | Step
    if isinstance(config, PolyConfig):
        policy = Poly(max_steps, config.power, config.warmup, config.every)
    elif isinstance(config, StepConfig):
        policy = Step(config.every, config.factor, config.warmup)
    else:
        raise TypeError(f"there is no learning-rate policy for {type(config).__name__}")
    return LambdaLR(optimizer, policy)


def follow(optimizer: torch.optim.Optimizer, schedule: LambdaLR, told: LambdaLR) -> None:
    """Give a resumed optimiser and its schedule the values of the config, in place of those of the checkpoint.

    The state of each parameter, such as its momentum, and the number of finished steps stay.

    Args:
        optimizer, schedule: as restored from a checkpoint.
        told: a schedule built from the config, over an optimiser with the same groups.
    """
    schedule.lr_lambdas, schedule.base_lrs = told.lr_lambdas, told.base_lrs
    for group, new, base, policy in zip(
        optimizer.param_groups, told.optimizer.param_groups, told.base_lrs, told.lr_lambdas, strict=True
    ):
        group.update({name: value for name, value in new.items() if name != "params"})
        group["lr"] = base * policy(schedule.last_epoch)
    schedule._last_lr = [group["lr"] for group in optimizer.param_groups]


def take_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Give the state of each parameter the memory format of the parameter, which a fused optimiser relies on.

    A checkpoint of a training in another precision may have another one.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)

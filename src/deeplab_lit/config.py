"""The closed parts of the configuration, typed: a wrong key or type fails before anything heavy is imported.

They are not frozen, since OmegaConf takes that as a ban on overrides; nothing changes them after composition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class SGDConfig:
    """Stochastic gradient descent as the papers train (V2, section 4.1)."""

    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_lr: float = 2.0  # multiplies lr for biases, which never decay
    new_lr: float = 10.0  # multiplies lr for the new classifier layers
    warmup: int = 0  # steps of linear rise before the schedule's own course
    name: str = "sgd"


@dataclass
class AdamWConfig:
    """AdamW, which learns in minutes from random weights."""

    lr: float = 3e-3
    weight_decay: float = 1e-2
    bias_lr: float = 1.0
    new_lr: float = 1.0
    warmup: int = 50
    name: str = "adamw"


@dataclass
class PolyConfig:
    """lr * (1 - step / max_steps) ** power (V2, section 4.1.1)."""

    power: float = 0.9
    warmup: int = 0  # steps of linear rise first
    name: str = "poly"


@dataclass
class StepConfig:
    """lr * factor ** (step // every) (V1, section 4.1)."""

    every: int = 2000
    factor: float = 0.1
    warmup: int = 0
    name: str = "step"


@dataclass
class AugmentConfig:
    """Training augmentation."""

    scale_range: list[float] | None = None  # continuous random scale, [low, high]
    scale_list: list[float] | None = None  # or one of these factors
    flip: bool = True
    extra: list[Any] = field(default_factory=list)  # albumentations transforms: [{name: ..., argument: ...}]


@dataclass
class ScalesConfig:
    """Scales of the input that share one network; their scores are fused by the maximum."""

    factors: list[float] = field(default_factory=lambda: [1.0])


@dataclass
class LossConfig:
    """The training loss."""

    resolution: str = "full"  # on the coarse "map" against shrunk labels, or at "full" resolution
    msc: str = "own_map"  # of multi-scale inputs: see MultiScaleInput
    # a weight for each class's pixels: "none", "median_frequency", "inverse_root", or a list of numbers
    class_weights: Any = "none"


@dataclass(kw_only=True)
class ParityConfig:
    """Where the released nets and today's habits differ; what each does is said in conf/parity/."""

    align_corners: bool
    loss: str  # map or full
    msc_loss: str  # full_map or own_map
    stride_on: str  # 1x1 or 3x3
    ceil_mode: bool
    pool_size: int  # 3 or 2
    pool5a: bool
    frozen_affine: bool
    normalization: Any  # bgr_bytes, imagenet, or {mean: [R, G, B], std: [R, G, B], bgr: false}
    crf_normalization: str  # after or symmetric


@dataclass
class InitConfig:
    """Random weights."""

    pretrained: bool = False  # the trunk carries trained weights, so its batch normalisation stays frozen
    name: str = "random"


@dataclass(kw_only=True)
class ImageNetConfig(InitConfig):
    """torchvision's weights."""

    pretrained: bool = True
    name: str = "imagenet"
    weights: str
    path: str | None
    fc: str
    fc_seed: int
    # what they were trained with
    normalization: str
    stride_on: str


@dataclass(kw_only=True)
class CheckpointConfig(InitConfig):
    """A checkpoint of this library, which brings its normalisation."""

    pretrained: bool = True
    name: str = "checkpoint"
    path: str


@dataclass(kw_only=True)
class TrainConfig:
    """What `python -m deeplab_lit.train` is told."""

    name: str  # of the run: its folder below output, and its name in W&B
    seed: int = 0  # of weights, order and augmentation
    batch_size: int  # training images in a step of one process
    eval_batch_size: int
    max_steps: int  # optimiser steps; the schedule ends there
    val_every: int  # steps from one validation, with its checkpoints, to the next
    crop_size: int  # pixels
    eval_size: int  # validation images are padded to at least this many pixels
    num_workers: int = 2  # loader processes; 0: load in the training process
    atrous: str = "holes"  # or "interlace", the paper's second realisation, with equal results
    align_corners: bool  # bilinear resizing puts corner pixels on each other, as Caffe does
    sampling: str = "uniform"  # or "rare_classes": images with rare classes come more often
    train_only_new: bool  # hold everything but the new layers fixed
    channels_last: bool | None = None  # memory order of images and weights; null: with bf16
    pictures: int = 6  # validation images in the panel and in logged overlays
    output: str = "runs"  # folder that holds the run directories
    resume: str | None  # "auto", or a run directory or checkpoint
    data: Any
    backbone: Any
    model: Any
    scales: ScalesConfig
    augment: AugmentConfig
    init: InitConfig
    parity: ParityConfig
    optimizer: Any
    schedule: Any
    loss: LossConfig
    trainer: Any
    logger: Any

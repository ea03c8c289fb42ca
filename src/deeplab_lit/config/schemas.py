"""The closed parts of the configuration, typed: a wrong key or type fails before anything heavy is imported.

They are not frozen, since OmegaConf takes that as a ban on overrides; nothing changes them after composition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class SGDConfig:
    """Stochastic gradient descent as the papers train (V2, section 4.1.1)."""

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
    """lr * (1 - step / max_steps) ** power (V2, section 4.1.2)."""

    power: float = 0.9
    warmup: int = 0  # steps of linear rise first
    name: str = "poly"


@dataclass
class StepConfig:
    """lr * factor ** (step // every) (V1, section 5)."""

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
    recompute: bool = False  # train with the memory of the largest scale alone, computing the smaller ones twice


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
    crf_normalization: str  # after, symmetric, before or none


@dataclass
class CRFConfig:
    """No CRF."""

    name: str = "none"


@dataclass(kw_only=True)
class DenseCRFConfig(CRFConfig):
    """The fully connected CRF; see :class:`deeplab_lit.crf.DenseCRF`."""

    name: str = "dense"
    bilateral_weight: float  # w1
    bilateral_xy_std: float  # sigma_alpha, pixels
    bilateral_rgb_std: float  # sigma_beta, grey levels
    gaussian_weight: float  # w2
    gaussian_xy_std: float  # sigma_gamma, pixels
    iterations: int = 10
    normalization: str  # of each filter: after, symmetric, before or none
    engine: str = "permutohedral"  # or pydensecrf, torch
    prune_threshold: float = 0.01  # classes below it everywhere in an image are left out; 0 keeps all
    trainable: bool = False  # make it the network's last layer and learn its weights; in training alone


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
    normalization: Any
    stride_on: str


@dataclass(kw_only=True)
class CheckpointConfig(InitConfig):
    """A checkpoint of this library, which brings its normalisation."""

    pretrained: bool = True
    name: str = "checkpoint"
    path: str


@dataclass
class RootsConfig:
    """Where data lie on this machine, for all commands and rows at once; null: where download puts them."""

    voc: str | None = None  # the folder that holds JPEGImages
    sbd: Any = None  # the folder that holds SBD's cls, train.txt, val.txt; false: train on VOC's own masks
    coco: str | None = None  # the folder that holds annotations, train2017, val2017


@dataclass
class RowConfig:
    """The row of a published table that a run is; see experiments/."""

    table: str = ""
    name: str = ""
    scale: str = "full"  # or subset, mini
    marks: list[str] = field(default_factory=list)  # the crosses in the paper's columns
    published: dict[str, float] = field(default_factory=dict)  # miou and crf_miou in percent, params in millions, ...
    notes: str = ""
    batch: int = 10  # published
    steps: int = 20000  # published
    starts_from: str | None = None  # the row whose best checkpoint it starts from
    domain: str = "target"  # of the embedded data, at scale=mini
    small_head: int | None = None  # width of fc6 and fc7 on the trunks that stand in for VGG-16
    # found when the run begins: the checkpoint, and what its training was
    start: str | None = None
    start_run: str | None = None


@dataclass(kw_only=True)
class TrainConfig:
    """What `python -m deeplab_lit.train` is told."""

    name: str  # of the run: its folder below output, and its name in W&B
    seed: int = 0  # of weights, order and augmentation
    batch_size: int  # training images in a step of one process
    eval_batch_size: int  # validation images at once
    max_steps: int  # optimiser steps; the schedule ends there
    val_every: int  # steps from one validation, with its checkpoints, to the next
    crop_size: int  # pixels
    eval_size: int  # validation images are padded to at least this many pixels
    num_workers: int = 2  # loader processes; 0: load in the training process
    decoded_gb: float = 0  # images are kept decoded, at most so many GB, in the cache folder; 0: decoded at each use
    atrous: str = "auto"  # the faster of "holes" and "interlace", the paper's two realisations, with equal results
    align_corners: bool  # bilinear resizing puts corner pixels on each other, as Caffe does
    sampling: str = "uniform"  # or "rare_classes": images with rare classes come more often
    train_only_new: bool  # hold everything but the new layers fixed
    ema: float | None = None  # decay of a moving average of the weights, which is validated and kept; 0.99 to 0.9999
    channels_last: bool | None = None  # memory order of images and weights; null: with bf16
    tf32: bool = True  # GPUs compute float32 in TF32, which is faster and coarser
    compile: str = "none"  # torch.compile in training: "loss", or "network", which is for GPUs; costs a minute first
    pictures: int = 6  # validation images in the panel and in logged overlays
    on_nan: str = "stop"  # or "skip": leave out steps whose loss is not finite
    preview: bool = False  # true: say what the training, or each row of a table, would take here, and end
    output: str = "runs"  # folder that holds the run directories
    resume: str | None  # "auto", or a run directory or checkpoint
    roots: RootsConfig
    row: RowConfig | None  # of a published table
    data: Any
    backbone: Any
    model: Any
    scales: ScalesConfig
    augment: AugmentConfig
    init: InitConfig
    parity: ParityConfig
    crf: CRFConfig
    optimizer: Any
    schedule: Any
    loss: LossConfig
    trainer: Any
    logger: Any

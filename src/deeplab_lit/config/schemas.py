"""The config schemas of a training, as dataclasses: a wrong key or type is an error before torch is imported.

The dataclasses are not frozen, since OmegaConf refuses overrides of frozen ones. After composition, only
``row.start`` and ``row.start_run`` are changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deeplab_lit.config.keys import key


@dataclass
class OptimizerConfig:
    """The keys that all optimisers share."""

    lr: float = key("learning rate", 1e-3)
    weight_decay: float = key("of weights; biases and normalisation never decay", 5e-4)
    bias_lr: float = key("multiplies lr for biases", 1.0)
    new_lr: float = key("multiplies lr for the new classifier layers", 1.0)
    warmup: int = key("steps of linear rise before the schedule's own course", 0)
    name: str = key("which optimiser this is", "")


@dataclass
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with the published multipliers (V2, section 4.1.1)."""

    momentum: float = key("of SGD", 0.9)
    bias_lr: float = key("multiplies lr for biases", 2.0)
    new_lr: float = key("multiplies lr for the new classifier layers", 10.0)
    name: str = key("which optimiser this is", "sgd")


@dataclass
class AdamWConfig(OptimizerConfig):
    """AdamW, for short trainings from random weights."""

    lr: float = key("learning rate", 3e-3)
    weight_decay: float = key("of weights; biases and normalisation never decay", 1e-2)
    warmup: int = key("steps of linear rise before the schedule's own course", 50)
    name: str = key("which optimiser this is", "adamw")


@dataclass
class ScheduleConfig:
    """The keys that all learning-rate policies share."""

    warmup: int = key("steps of linear rise first", 0)
    name: str = key("which policy this is", "")


@dataclass
class PolyConfig(ScheduleConfig):
    """lr * (1 - step / max_steps) ** power (V2, section 4.1.2), where step is rounded down to a multiple of every."""

    power: float = key("of the policy", 0.9)
    every: int = key("steps from one change to the next", 1)
    name: str = key("which policy this is", "poly")


@dataclass
class StepConfig(ScheduleConfig):
    """lr * factor ** (step // every) (V1, section 5)."""

    every: int = key("steps from one change to the next", 2000)
    factor: float = key("of each change", 0.1)
    name: str = key("which policy this is", "step")


@dataclass
class AugmentConfig:
    """Training augmentation."""

    scale_range: list[float] | None = key("continuous random scale, [low, high]", None)
    scale_list: list[float] | None = key("or one of these factors", None)
    flip: bool = key("mirror half of the training images", True)
    extra: list[Any] = key("albumentations transforms: [{name: ..., argument: ...}]", factory=list)


@dataclass
class ScalesConfig:
    """Multi-scale input: one network scores the image at several scales, and the maximum fuses the scores."""

    factors: list[float] = key("of the image's size", factory=lambda: [1.0])
    recompute: bool = key(
        "train with the memory of the largest scale alone, computing the smaller ones twice", False, decides=False
    )


@dataclass
class LossConfig:
    """The training loss."""

    resolution: str = key('on the coarse "map" against shrunk labels, or at "full" resolution', "full")
    msc: str = key("of multi-scale inputs: full_map or own_map, see MultiScaleInput", "own_map")
    class_weights: Any = key(
        "a weight for each class's pixels: none, median_frequency, inverse_root, or a list of numbers", "none"
    )
    pixel_weights: str | None = key(
        "a folder with a grey ID.png for each training image, black for weight 0 and white for weight 1", None
    )
    balanced: bool = key("half the mean over background (class 0) plus half the mean over all other classes", False)
    threshold: float | None = key(
        "leave out pixels whose label has at least this probability, hard example mining; null: none", None
    )
    min_kept: int = key("with threshold: pixels of each image that count at least, the least probable ones", 0)
    dense_energy: float = key("weight of the dense energy of the softmax on the image; 0: without it", 0.0)
    energy_rgb_std: float = key("of the dense energy, grey levels", 15.0)
    energy_xy_std: float = key("of the dense energy, pixels of the crop", 100.0)
    energy_scale: float = key("the dense energy is taken at this factor of the crop's size", 0.5)


@dataclass(kw_only=True)
class ParityConfig:
    """Choices in which the released networks differ from current practice; conf/parity/ explains each value."""

    align_corners: bool = key("resizing puts corner pixels on each other")
    loss: str = key("map or full")
    msc_loss: str = key("full_map or own_map")
    stride_on: str = key("which convolution of a ResNet bottleneck strides: 1x1 or 3x3")
    ceil_mode: bool = key("pooling rounds map sizes up")
    pool_size: int = key("of VGG's poolings: 3 or 2")
    pool5a: bool = key("VGG's LargeFOV begins with an average pooling")
    frozen_affine: bool = key("pretrained batch normalisation keeps its scale and shift too, not its statistics alone")
    normalization: Any = key("bgr_bytes, imagenet, or {mean: [R, G, B], std: [R, G, B], bgr: false}")
    crf_normalization: str = key("after, symmetric, before or none")


@dataclass
class CRFConfig:
    """The config of no CRF, and the base of the configs of CRFs."""

    name: str = key("none or dense", "none")


@dataclass(kw_only=True)
class DenseCRFConfig(CRFConfig):
    """The fully connected CRF. :class:`deeplab_lit.crf.DenseCRF` reads its defaults from here, except normalization."""

    name: str = key("none or dense", "dense")
    bilateral_weight: float = key("w1")
    bilateral_xy_std: float = key("sigma_alpha, pixels")
    bilateral_rgb_std: float = key("sigma_beta, grey levels")
    gaussian_weight: float = key("w2")
    gaussian_xy_std: float = key("sigma_gamma, pixels")
    iterations: int = key("of the mean field", 10)
    normalization: str = key("of each filter: after, symmetric, before or none")
    engine: str = key("permutohedral, pydensecrf or torch", "permutohedral")
    prune_threshold: float = key("classes below it everywhere in an image are left out; 0 keeps all", 0.01)
    certainty: float | None = key("of hard labels, which are then the unaries; null: the probabilities are", None)
    image: str = key("rgb, or mean_subtracted_bgr as code bases have it that give the CRF the network's input", "rgb")
    channels: list[int] | None = key("those of the image that it compares, from 0; null: at most the first three", None)
    trainable: bool = key("make it the network's last layer and learn its weights; in training alone", False)


@dataclass
class InitConfig:
    """Initialisation with random weights."""

    pretrained: bool = key("the trunk carries trained weights, so the statistics of its normalisation stay", False)
    name: str = key("random, imagenet or checkpoint", "random")


@dataclass(kw_only=True)
class ImageNetConfig(InitConfig):
    """Initialisation with torchvision's ImageNet weights."""

    pretrained: bool = key("the trunk carries trained weights, so the statistics of its normalisation stay", True)
    name: str = key("random, imagenet or checkpoint", "imagenet")
    weights: str = key("torchvision's name of them")
    path: str | None = key("the file itself, where there is no internet")
    fc: str = key("how VGG's fc6 and fc7 are cut: decimation, subset or average")
    fc_seed: int = key("of fc=subset")
    normalization: Any = key("of the input that they were trained with")
    stride_on: str = key("of the bottlenecks that they were trained with")


@dataclass(kw_only=True)
class CheckpointConfig(InitConfig):
    """Initialisation from a file of weights, which also sets the normalisation of the input."""

    pretrained: bool = key("the trunk carries trained weights, so the statistics of its normalisation stay", True)
    name: str = key("random, imagenet or checkpoint", "checkpoint")
    path: str = key("the file, its URL, or a run directory for its best checkpoint")
    rates: list[int] | None = key("of a file that cannot tell them: [6,12,18,24] or [6,12]", None)


@dataclass
class RootsConfig:
    """Root folders of the data sets, for all commands and rows; null: the folder that a download writes to."""

    voc: str | None = key("the folder that holds JPEGImages", None)
    voc2010: str | None = key("VOC 2010's folder, which holds JPEGImages and ImageSets", None)
    sbd: Any = key("the folder that holds SBD's cls, train.txt, val.txt; false: train on VOC's own masks", None)
    coco: str | None = key("the folder that holds annotations, train2017, val2017", None)
    cityscapes: str | None = key("the folder that holds leftImg8bit and gtFine", None)


@dataclass
class LoggerConfig:
    """Loggers beside metrics.csv."""

    wandb: dict[str, Any] | None = key("arguments of wandb.init; null: no W&B", None)
    tensorboard: dict[str, Any] | None = key("arguments of Lightning's TensorBoardLogger; null: no TensorBoard", None)


@dataclass
class RowConfig:
    """The row of a published table that a run reproduces; see experiments/."""

    table: str = key("the folder of the row in experiments/", "")
    name: str = key("of the row", "")
    budget: str = key("full, subset or mini", "full")
    marks: list[str] = key("the crosses in the paper's columns", factory=list)
    published: dict[str, float] = key("miou and crf_miou in percent, params in millions, ...", factory=dict)
    notes: str = key("what the row is", "")
    batch: int = key("published", 10)
    steps: int = key("published", 20000)
    starts_from: str | None = key("the row whose best checkpoint it starts from", None)
    lacks: list[str] | None = key("marks that this budget has no data for, such as COCO", None)
    domain: str = key("of the embedded data, at budget=mini", "target")
    small_head: int | None = key("width of fc6 and fc7 on the trunks that stand in for VGG-16", None)
    start: str | None = key("filled in: the checkpoint that it starts from", None)
    start_run: str | None = key("filled in: the fingerprint of that checkpoint's training", None)


@dataclass(kw_only=True)
class TrainConfig:
    """The config of `python -m deeplab_lit.train`.

    ``data``, ``backbone`` and ``model`` have no schema, since any class can be chosen. Each holds the dotted name of a
    class under ``_target_``, the arguments of its constructor, and a recipe (:mod:`deeplab_lit.config.recipes`).
    """

    name: str = key("of the run: its folder below output, and its name in W&B", decides=False)
    seed: int = key("of weights, order and augmentation", 0)
    batch_size: int | None = key("training images in a forward pass of one process; null: its share of the next key")
    global_batch_size: int | None = key(
        "training images in a step, shared by all processes and accumulated batches; rows of tables set it", None
    )
    eval_batch_size: int | None = key(
        "validation images of one size at once; null: 8 on a GPU, 1 on a CPU", decides=False
    )
    max_steps: int = key("optimiser steps; the schedule ends there")
    val_every: int = key("steps from one validation, with its checkpoints, to the next")
    crop_size: int = key("pixels")
    eval_size: int = key("validation images are padded to at least this many pixels")
    num_workers: int | None = key(
        "loader processes; 0: load in the training process; null: as many as this process has cores, at most 8",
        None,
        decides=False,
    )
    decoded_gb: float = key(
        "images are kept decoded, at most so many GB, in the cache folder; 0: decoded at each use", 0, decides=False
    )
    atrous: str = key(
        'the faster of "holes" and "interlace", the paper\'s two realisations, with equal results',
        "auto",
        decides=False,
    )
    align_corners: bool = key("bilinear resizing puts corner pixels on each other, as Caffe does")
    sampling: str = key('or "rare_classes": images with rare classes come more often', "uniform")
    train_only_new: bool = key("freeze everything but the new layers")
    ema: float | None = key(
        "decay of a moving average of the weights, which is validated and kept; 0.99 to 0.9999", None
    )
    keep: str = key(
        'the checkpoint that is kept as best.ckpt and scored: that of the "best" validation, or the "last" one', "best"
    )
    channels_last: bool | None = key("memory order of images and weights; null: with bf16", None, decides=False)
    tf32: bool = key("GPUs compute float32 in TF32, which is faster and coarser", True)
    compile: str = key(
        'torch.compile in training: "loss", or "network", which is for GPUs; costs a minute first',
        "none",
        decides=False,
    )
    pictures: int = key("validation images in the panel and in logged overlays", 6, decides=False)
    on_nan: str = key('or "skip": leave out steps whose loss is not finite', "stop", decides=False)
    preview: bool = key(
        "true: say what the training, or each row of a table, would take here, and end", False, decides=False
    )
    rows: str | None = key(
        "those rows of a table that run, as baseline,msc, or those tables of experiments=paper; null: all",
        None,
        decides=False,
    )
    output: str = key("folder that holds the run directories", "runs", decides=False)
    resume: str | None = key('"auto", or a run directory or checkpoint', decides=False)
    roots: RootsConfig = key("where data lie", decides=False)
    row: RowConfig | None = key("of a published table", decides=False)
    data: dict[str, Any] = key("the data set")
    backbone: dict[str, Any] = key("the trunk")
    model: dict[str, Any] = key("the head")
    scales: ScalesConfig = key("of the input")
    augment: AugmentConfig = key("of training images")
    init: InitConfig = key("where weights come from")
    parity: ParityConfig = key("with the released nets")
    crf: CRFConfig = key("after the network, unless it is trained", decides=False)
    optimizer: OptimizerConfig = key("the optimiser")
    schedule: ScheduleConfig = key("the learning-rate policy")
    loss: LossConfig = key("the training loss")
    trainer: dict[str, Any] = key("arguments of lightning.Trainer")
    logger: LoggerConfig = key("beside metrics.csv", decides=False)

    def as_dict(self) -> dict[str, Any]:
        """The resolved config as builtins: the content of config.yaml."""
        return asdict(self)

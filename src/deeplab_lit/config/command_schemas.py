"""What each command but the training is told, typed as :mod:`deeplab_lit.config.schemas`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deeplab_lit.config.schemas import CRFConfig, TrainConfig


@dataclass(kw_only=True)
class UseConfig:
    """What every command that uses a trained network is told."""

    checkpoint: str | None = None  # the file of a trained network, or its URL
    flip: bool = False  # the mean of the image's and its mirror's probabilities
    window: int = 1025  # pixels; images with a longer side are looked at in windows that overlap
    overlap: int = 256
    device: str = "auto"  # or cpu, cuda, cuda:1, mps
    precision: str = "auto"  # or 32-true, bf16-mixed, 16-mixed
    tf32: bool = True  # GPUs compute float32 in TF32
    workers: int | None = None  # threads for reading, the CRF and writing; null: one for each core
    allow: list[str] = field(default_factory=list)  # packages that the file may name besides this one, such as mine.
    scales: Any = None  # null: as it was trained
    crf: CRFConfig


@dataclass(kw_only=True)
class EvaluateConfig(UseConfig):
    """What `python -m deeplab_lit.evaluate` is told."""

    data: Any = None  # null: the data set that the checkpoint was trained on
    split: str = "val"
    images: int | None = None  # evaluate on so many, evenly spaced; null: all
    trimap: int = 40  # the widest band, pixels
    pictures: int = 6  # images in each picture of what the CRF did
    output: str = "evaluations"  # folder for the folders of results


@dataclass(kw_only=True)
class PredictConfig(UseConfig):
    """What `python -m deeplab_lit.predict` is told."""

    images: str  # a file, a folder with all below it, or a pattern such as 'a/*.jpg'
    out: str
    format: str = "png"  # or voc_server: a package for the PASCAL VOC test server
    overlays: bool = True
    probabilities: bool = False  # also float16 .npz, (classes, height, width)
    overwrite: bool = False
    comp: int = 6  # the server's competition: 6 with other training data than VOC's, 5 without
    list: str | None = None  # of the ids that the package must hold; null: all images
    validate: str | None = None  # a package to check instead of predicting


@dataclass(kw_only=True)
class RefineConfig:
    """What `python -m deeplab_lit.refine` is told."""

    images: str  # a folder
    probabilities: str  # a folder with NAME.npy or NAME.npz for each image
    out: str
    classes: str | None = None  # a class list for the palette; null: VOC's palette
    save_probabilities: bool = False  # also the refined ones, float16 .npz
    overlays: bool = False
    overwrite: bool = False
    workers: int | None = None
    crf: CRFConfig


@dataclass(kw_only=True)
class ConvertConfig:
    """What `python -m deeplab_lit.convert` is told."""

    source: str  # a file of weights, or its URL
    out: str  # ends in .ckpt or .safetensors
    classes: str | None = None  # a class list; null: VOC's names for 21 classes, COCO's for 91, else numbers
    rgb: bool = False  # a network of BGR images becomes one of RGB images with equal outputs
    overwrite: bool = False


@dataclass(kw_only=True)
class ExportConfig:
    """What `python -m deeplab_lit.export` is told."""

    checkpoint: str  # the file of a trained network, or its URL
    format: str  # safetensors, torch_export or onnx
    out: str | None = None  # null: beside the checkpoint; of a URL in this folder
    scales: Any = None  # null: as it was trained
    images: str | None = None  # to compare with: a file, folder or pattern; null: of the data set trained on
    allow: list[str] = field(default_factory=list)  # packages that the file may name besides this one, such as mine.
    overwrite: bool = False


@dataclass(kw_only=True)
class PushConfig:
    """What `python -m deeplab_lit.push` is told."""

    checkpoint: str  # the file of a trained network, or its URL
    repo: str  # USER/NAME on the Hugging Face Hub
    folder: str | None = None  # write there what would be pushed, and push nothing
    private: bool = False
    license: str | None = None  # of the weights, as the Hub names it: apache-2.0, cc-by-nc-4.0, ...
    dataset: str | None = None  # what it was trained on, for the card; null: the name in its config
    message: str = "Network trained with deeplab_lit"  # of the commit
    allow: list[str] = field(default_factory=list)  # packages that the file may name besides this one, such as mine.


@dataclass(kw_only=True)
class SearchConfig(UseConfig):
    """What `python -m deeplab_lit.crf_search` is told."""

    data: Any = None
    split: str = "val"
    images: int = 100  # that the search sees
    held_out: int = 100  # others that the result is scored on
    seed: int = 0  # which images
    # [lowest, highest, step]
    bilateral_weight: list[float]
    bilateral_xy_std: list[float]
    bilateral_rgb_std: list[float]
    output: str = "crf_search"
    preset: str = "searched"  # the name of the preset that is written


@dataclass(kw_only=True)
class SummaryConfig(TrainConfig):
    """What `python -m deeplab_lit.summary` is told: what a training is, and how to answer."""

    json: bool = False
    classes: int | None = None  # null: the data set's


@dataclass
class ReportConfig:
    """What `python -m deeplab_lit.report` is told."""

    sweep: str | None = None  # the folder of one table's runs; null: all tables below output
    output: str = "runs"
    watch: bool = False  # true: follow running sweeps in the terminal until they end
    wandb: str | None = None  # a W&B project that gets the pages as artifacts and panels


@dataclass(kw_only=True)
class DashboardConfig:
    """What `python -m deeplab_lit.dashboard` is told."""

    group: str  # TABLE-SCALE, as W&B has the runs: such as table4_resnet101-full
    entity: str | None = None  # the W&B user or team that it is sent to; null: its specification is written alone
    project: str = "deeplab_lit"
    output: str = "runs"


@dataclass
class HyperparametersConfig:
    """How `python -m deeplab_lit.tune` searches."""

    space: dict[str, Any] = field(default_factory=dict)  # key of a training: {low, high, log, step} or {choices}
    trials: int = 20  # in all, with those of earlier calls and other processes; each of these may add one at the end
    prune: bool = True  # stop a trial whose mIoU is below the median of the others at the same step
    seed: int = 0  # of the proposals


@dataclass(kw_only=True)
class TuneConfig(TrainConfig):
    """What `python -m deeplab_lit.tune` is told: what a training is, and what to search."""

    search: HyperparametersConfig = field(default_factory=HyperparametersConfig)

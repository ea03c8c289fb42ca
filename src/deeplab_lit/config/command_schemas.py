"""Command schemas: the configs of all commands except ``train``, as in :mod:`deeplab_lit.config.schemas`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deeplab_lit.config.keys import key
from deeplab_lit.config.schemas import CRFConfig, RootsConfig, ScalesConfig, TrainConfig


@dataclass(kw_only=True)
class UseConfig:
    """The keys that commands which use a trained network share."""

    checkpoint: str | None = key("a trained network: its run directory, its file, or its URL", None)
    fusion: str = key("over the scales: max_scores, mean_scores, max_probabilities or mean_probabilities", "max_scores")
    flip: bool = key("the mean of the image's and its mirror's probabilities, after the fusion", False)
    flip_scales: Any = key("true: or the mean of image and mirror at each scale, of what is fused; sum: the sum", False)
    max_side: int | None = key("pixels; the longest side of a scaled image; null: no bound", None)
    window: int = key("pixels; images with a longer side are looked at in windows that overlap", 1025)
    overlap: int = key("of neighbouring windows, pixels, at least", 256)
    device: str = key("or cpu, cuda, cuda:1, mps", "auto", decides=False)
    precision: str = key("or 32-true, bf16-mixed, 16-mixed", "auto", decides=False)
    tf32: bool = key("GPUs compute float32 in TF32", True, decides=False)
    workers: int | None = key("threads for reading, the CRF and writing; null: one for each core", None, decides=False)
    allow: list[str] = key(
        "packages that the file may name besides this one, such as mine", factory=list, decides=False
    )
    scales: ScalesConfig | None = key("of the input; null: as it was trained", None)
    crf: CRFConfig = key("after the network")


_SHARD = "I/N: the I-th of N parts of the images; null: all, or under torchrun and srun the part of the rank"


@dataclass(kw_only=True)
class EvaluateConfig(UseConfig):
    """The config of `python -m deeplab_lit.evaluate`."""

    data: dict[str, Any] | None = key("null: the data set that the checkpoint was trained on", None)
    split: str = key("train or val", "val")
    images: int | None = key("evaluate on so many, evenly spaced; null: all", None)
    trimap: int = key("the widest band, pixels", 40)
    pictures: int = key("images in each picture of what the CRF did", 6, decides=False)
    shard: str | None = key(_SHARD, None, decides=False)
    output: str = key("folder for the folders of results", "evaluations", decides=False)


@dataclass(kw_only=True)
class PredictConfig(UseConfig):
    """The config of `python -m deeplab_lit.predict`."""

    images: str = key("a file, a folder with all below it, or a pattern such as 'a/*.jpg'", decides=False)
    out: str = key("folder for the labels", decides=False)
    format: str = key(
        "or voc_server, cityscapes_server: a package for the test server of that data set", "png", decides=False
    )
    overlays: bool = key("also the images with the labels painted over them", True, decides=False)
    probabilities: bool = key("also float16 .npz, (classes, height, width)", False, decides=False)
    shard: str | None = key(_SHARD, None, decides=False)
    overwrite: bool = key("write files that are there already", False, decides=False)
    comp: int = key("VOC's server's competition: 6 with other training data than VOC's, 5 without", 6, decides=False)
    list: str | None = key("of the ids that the package must hold; null: all images", None, decides=False)
    validate: str | None = key("a package to check instead of predicting", None, decides=False)


@dataclass(kw_only=True)
class ScoreFilesConfig:
    """The keys that say what score files hold, for the commands that read them."""

    values: str = key("probabilities, or logits: scores before the softmax", "probabilities")
    zero_is: str | None = key(
        "what class index 0 is: background, or foreground (CAMs); null: background, and dicts of indices are refused",
        None,
    )
    array: str | None = key("the name of the array in a dict or .npz file; null: the first known name", None)
    align_corners: bool = key("how smaller maps are enlarged bilinearly: whether corner pixels are aligned", False)
    confidences: str | None = key(
        "a folder of grey pictures beside masks, the probabilities that their pixels are right; null: they are certain",
        None,
    )


@dataclass(kw_only=True)
class RefineConfig(ScoreFilesConfig):
    """The config of `python -m deeplab_lit.refine`."""

    images: str = key("a folder")
    channels: int = key("of each image; with other than 3 of 8 bits, files are read as they are", 3)
    bits: int = key("of each channel; 16: values of 16 bits are kept", 8)
    probabilities: str = key("a folder with NAME.npy, .npz, .pkl or .pth, or a mask NAME.png, for each image")
    out: str = key("folder for the labels", decides=False)
    classes: str | None = key("a class list for the palette; null: VOC's palette", None, decides=False)
    save_probabilities: bool = key("also the refined ones, float16 .npz", False, decides=False)
    overlays: bool = key("also the images with the labels painted over them", False, decides=False)
    shard: str | None = key(_SHARD, None, decides=False)
    overwrite: bool = key("write files that are there already", False, decides=False)
    workers: int | None = key("threads; null: one for each core", None, decides=False)
    crf: CRFConfig = key("its parameters")


_TAGS_ZERO_IS = "the class that 0 means in tags: foreground, the first class behind the background, or background"


@dataclass(kw_only=True)
class PseudoConfig(ScoreFilesConfig):
    """The config of `python -m deeplab_lit.pseudo`."""

    cams: str = key(
        "a folder with NAME.npy, .npz, .pkl or .pth for each image: activation maps, from 0 to 1; or masks, NAME.png, "
        "with background=given"
    )
    images: str = key("a folder")
    out: str = key("folder for the masks and their list, train.txt", decides=False)
    values: str = key("with background=given: probabilities, or logits", "probabilities")
    zero_is: str | None = key(
        "what class index 0 is in the files: background or foreground; null: as the method of the background has it",
        None,
    )
    background: str = key(
        "how it is scored: threshold, power ((1 - highest activation) ** alpha), complement (1 - highest activation), "
        "given (the files have its map), or two_thresholds: IRN's, void between them",
        "threshold",
    )
    threshold: Any = key("of background=threshold, or auto: by a rule that needs no true masks; null: 0.25", None)
    alpha: float | None = key("of background=power; null: 4", None)
    foreground_threshold: float | None = key("of background=two_thresholds; null: 0.30", None)
    background_threshold: float | None = key("of background=two_thresholds; null: 0.05", None)
    uncertain: float | None = key("pixels whose highest probability is below it become void; null: none", None)
    tags: str | None = key(
        "a list of image tags, `ID 45 49 50`, or cls_labels.npy; other classes are left out; null: all are kept", None
    )
    tags_zero_is: str = key(_TAGS_ZERO_IS, "foreground")
    masks: str | None = key(
        "a folder of true masks of some or all images, for the curve of the mIoU over thresholds", None, decides=False
    )
    classes: str | None = key("a class list; null: VOC's 21 classes", None, decides=False)
    confidence: bool = key(
        "also the highest probability of each pixel, as grey PNGs, which loss.pixel_weights takes", False, decides=False
    )
    overlays: bool = key("also the images with the labels painted over them", False, decides=False)
    shard: str | None = key(_SHARD, None, decides=False)
    overwrite: bool = key("write files that are there already", False, decides=False)
    workers: int | None = key("threads; null: one for each core", None, decides=False)
    crf: CRFConfig = key("after the scores; irn_labels of hard labels")


@dataclass(kw_only=True)
class AuditConfig:
    """The config of `python -m deeplab_lit.audit`."""

    masks: str = key("a folder of pseudo-labels, NAME.png")
    images: str = key("a folder")
    out: str = key("folder for audit.html and audit.json")
    truth: str | None = key("a folder of true masks of the same names; null: none are known", None)
    tags: str | None = key("a list of image tags, `ID 45 49 50`, or cls_labels.npy; null: none are known", None)
    tags_zero_is: str = key(_TAGS_ZERO_IS, "foreground")
    classes: str | None = key("a class list; null: VOC's 21 classes", None)
    sample: int | None = key("look at so many masks, evenly spaced; null: all", None)
    pictures: int = key("the worst images, shown on the page", 24)
    workers: int | None = key("threads; null: one for each core", None)
    crf: CRFConfig = key("of hard labels, whose disagreement is counted; none: it is not")


@dataclass(kw_only=True)
class ConvertConfig:
    """The config of `python -m deeplab_lit.convert`."""

    source: str = key("weights: a file, its URL, or a run directory")
    out: str = key("ends in .ckpt or .safetensors")
    classes: str | None = key("a class list; null: VOC's names for 21 classes, COCO's for 91, else numbers", None)
    rgb: bool = key("a network of BGR images becomes one of RGB images with equal outputs", False)
    rates: list[int] | None = key("of a file that cannot tell them: [6,12,18,24] or [6,12]", None)
    overwrite: bool = key("write a file that is there already", False)


@dataclass(kw_only=True)
class ExportConfig:
    """The config of `python -m deeplab_lit.export`."""

    checkpoint: str = key("a trained network: its run directory, its file, or its URL")
    format: str = key("safetensors, torch_export or onnx")
    out: str | None = key("null: beside the checkpoint; of a URL in this folder", None)
    scales: ScalesConfig | None = key("of the input; null: as it was trained", None)
    images: str | None = key("to compare with: a file, folder or pattern; null: of the data set trained on", None)
    allow: list[str] = key("packages that the file may name besides this one, such as mine", factory=list)
    overwrite: bool = key("write a file that is there already", False)


@dataclass(kw_only=True)
class PushConfig:
    """The config of `python -m deeplab_lit.push`."""

    checkpoint: str = key("a trained network: its run directory, its file, or its URL")
    repo: str = key("USER/NAME on the Hugging Face Hub")
    folder: str | None = key("write there what would be pushed, and push nothing", None)
    private: bool = key("nobody else sees it", False)
    license: str | None = key("of the weights, as the Hub names it: apache-2.0, cc-by-nc-4.0, ...", None)
    dataset: str | None = key("what it was trained on, for the card; null: the name in its config", None)
    message: str = key("of the commit", "Network trained with deeplab_lit")
    allow: list[str] = key("packages that the file may name besides this one, such as mine", factory=list)


@dataclass(kw_only=True)
class CRFSearchConfig(UseConfig):
    """The config of `python -m deeplab_lit.crf_search`."""

    data: dict[str, Any] | None = key("null: the data set that the checkpoint was trained on", None)
    split: str = key("train or val", "val")
    images: int = key("that the search sees", 100)
    held_out: int = key("others that the result is scored on", 100)
    seed: int = key("which images", 0)
    bilateral_weight: list[float] = key("[lowest, highest, step]", decides=False)
    bilateral_xy_std: list[float] = key("[lowest, highest, step]", decides=False)
    bilateral_rgb_std: list[float] = key("[lowest, highest, step]", decides=False)
    output: str = key("folder for the folders of results", "crf_search", decides=False)
    preset: str = key("the name of the preset that is written", "searched", decides=False)


@dataclass(kw_only=True)
class CheckDataConfig:
    """The config of `python -m deeplab_lit.check_data`."""

    name: str = key("of the report's folder")
    data: dict[str, Any] = key("the data set")
    roots: RootsConfig = key("where data lie", factory=RootsConfig)
    against: str | None = key("a folder of images of another data set, to look for images that stand in both", None)
    output: str = key("folder for the folders of reports", "checks")


@dataclass(kw_only=True)
class SummaryConfig(TrainConfig):
    """The config of `python -m deeplab_lit.summary`: that of a training, and the output format."""

    json: bool = key("one JSON object", False, decides=False)
    classes: int | None = key("how many; null: the data set's", None, decides=False)


@dataclass
class ReportConfig:
    """The config of `python -m deeplab_lit.report`."""

    sweep: str | None = key("the folder of one table's runs; null: all tables below output", None)
    output: str = key("folder that holds the run directories", "runs")
    watch: bool = key("true: follow running sweeps in the terminal until they end", False)
    wandb: str | None = key("a W&B project that gets the pages as artifacts and panels", None)


@dataclass(kw_only=True)
class DashboardConfig:
    """The config of `python -m deeplab_lit.dashboard`."""

    group: str = key("TABLE-BUDGET, as W&B has the runs: such as table4_resnet101-full")
    entity: str | None = key("the W&B user or team that it is sent to; null: its specification is written alone", None)
    project: str = key("in W&B", "deeplab_lit")
    output: str = key("folder that holds the run directories", "runs")


@dataclass
class HyperparametersConfig:
    """The search of `python -m deeplab_lit.tune`."""

    space: dict[str, Any] = key("key of a training: {low, high, log, step} or {choices}", factory=dict)
    trials: int = key(
        "in all, with those of earlier calls and other processes; each of these may add one at the end", 20
    )
    prune: bool = key("stop a trial whose mIoU is below the median of the others at the same step", True)
    seed: int = key("of the proposals", 0)


@dataclass(kw_only=True)
class TuneConfig(TrainConfig):
    """The config of `python -m deeplab_lit.tune`: that of a training, and the search."""

    search: HyperparametersConfig = key("how to search", factory=HyperparametersConfig, decides=False)

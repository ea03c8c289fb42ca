"""Model card of a shared network: what it is, its scores, its training, and how to load it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deeplab_lit.inference.trained import Trained
from deeplab_lit.training.result import Result

_PAPERS = (("DeepLab V1", "1412.7062"), ("DeepLab V2", "1606.00915"))


@dataclass(frozen=True)
class Evidence:
    """What a run directory says of a checkpoint.

    Attributes:
        result: the content of ``result.json``; None if it scores another checkpoint.
        config: the content of ``config.yaml``.
        has_picture: whether the run has a panel of predictions, ``validation.png``.
    """

    result: Result | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    has_picture: bool = False


def card(repo: str, trained: Trained, evidence: Evidence, license: str | None, dataset: str | None) -> str:
    """The text of a model card (README.md) with its metadata.

    Args:
        repo: USER/NAME.
        trained: the network.
        evidence: what its run directory says of it.
        license: an identifier of the Hub, such as ``apache-2.0``; None: unknown.
        dataset: the data set's usual name; None: the name of its class in the config.
    """
    from huggingface_hub import EvalResult, ModelCardData

    dataset = dataset or _dataset(trained)
    results = [
        EvalResult(
            "image-segmentation", dataset, dataset, metric, getattr(evidence.result, key), dataset_split="validation"
        )
        for key, metric in (("miou", "mean_iou"), ("pixel_accuracy", "accuracy"))
        if evidence.result is not None
    ]
    data = ModelCardData(
        library_name="deeplab_lit",
        license=license or "unknown",
        pipeline_tag="image-segmentation",
        tags=["semantic-segmentation", "deeplab", "pytorch-lightning"],
        metrics=["mean_iou"],
        model_name=repo.rsplit("/", 1)[-1] if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(_body(repo, trained, evidence, dataset, license)) + "\n"


def _dataset(trained: Trained) -> str:
    target = (trained.data or {}).get("_target_")
    return str(target).rsplit(".", 1)[-1] if target else "unknown"


def _body(repo: str, trained: Trained, evidence: Evidence, dataset: str, license: str | None) -> Iterator[str]:
    spec, labels = trained.description["network"], trained.labels
    parts = [str(spec[part]["_target_"]).rsplit(".", 1)[-1] for part in ("backbone", "model")]
    yield f"# {repo.rsplit('/', 1)[-1]}\n"
    yield f"Semantic segmentation into {len(labels)} classes: {parts[0]} with {parts[1]}, after"
    yield ", ".join(f"[{name}](https://arxiv.org/abs/{number})" for name, number in _PAPERS) + ".\n"
    if evidence.has_picture:
        yield "![Validation images: image, truth, prediction, errors](validation.png)\n"
    yield "## Load\n"
    yield "```python\nimport deeplab_lit  # pip install 'deeplab_lit[hub]'\n"
    yield f'network = deeplab_lit.load("hf://{repo}")'
    yield 'labels = network.predict("photo.jpg")  # uint8 (H, W)'
    yield "probabilities = network.probabilities(image)  # float32 (C, H, W)\n```\n"
    yield from _scores(evidence.result, dataset)
    yield "## Training\n"
    yield f"- data: {dataset}"
    yield f"- steps: {trained.step}"
    yield from (f"- {key}: {evidence.config[key]}" for key in ("batch_size", "crop_size", "seed") if evidence.config)
    for group in ("optimizer", "schedule", "loss", "augment"):
        if group in evidence.config:
            values = {key: value for key, value in evidence.config[group].items() if value not in (None, [])}
            yield f"- {group}: {', '.join(f'{key} {value}' for key, value in values.items())}"
    yield "\n## Network\n"
    for part in ("backbone", "model"):
        yield f"- {part}: {', '.join(f'{key} {value}' for key, value in spec[part].items())}"
    yield f"- scales of the input: {', '.join(f'{scale:g}' for scale in spec['scales'])}"
    yield f"- input: {trained.normalization}"
    yield f"- classes: {', '.join(labels.names)}"
    yield "\n## License\n"
    yield license or "Not stated by whoever shared this. The terms of the training images may bind the weights too."


def _scores(result: Result | None, dataset: str) -> Iterator[str]:
    yield "## Scores\n"
    if result is None:
        yield "None are known for this file.\n"
        return
    names = (("mIoU", "miou"), ("pixel accuracy", "pixel_accuracy"), ("mean accuracy", "mean_accuracy"))
    scores = [f"{name} {getattr(result, key):.4f}" for name, key in names]
    yield f"On the validation images of {dataset}: {', '.join(scores)}."
    if result.crf_miou is not None:
        yield f"With the dense CRF: mIoU {result.crf_miou:.4f}."
    yield "\n| class | IoU |\n|---|---|"
    for name, value in result.per_class_iou.items():
        yield f"| {name} | {'-' if value is None else f'{value:.3f}'} |"
    yield ""

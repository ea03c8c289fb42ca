"""Evaluation of a checkpoint by its config: scores on the screen, and a folder with numbers and pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deeplab_lit.config.command_schemas import EvaluateConfig
from deeplab_lit.config.identity import EVALUATION, deciding_of_use
from deeplab_lit.config.recipes import DataRecipe, recipe
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.drawing import comparison, save_png
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.evaluation_charts import confusion_chart, trimap_chart
from deeplab_lit.inference.evaluation_parts import Part, Parts
from deeplab_lit.inference.inputs import every, open_network, open_split, run_name, workers
from deeplab_lit.inference.metrics import Scores
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.inference.scoring import Evaluation, ImageResult, numbers, score_split
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import weights_file
from deeplab_lit.utils.files import new_folder, write_json, write_text
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import own_shard
from deeplab_lit.utils.terminal import table


def evaluate(config: EvaluateConfig, command: str) -> dict[str, Any] | None:
    """Evaluate a checkpoint and write its scores, charts and pictures.

    A shard writes its part. The process that writes the last part merges all of them, and writes what one process
    would have written.

    Args:
        config: the config of the command.
        command: the command line that the user typed.

    Returns:
        The content of result.json; None for a shard while other parts are still to come.

    Raises:
        UserError: a value of the config is wrong.
    """
    if config.trimap < 1 or config.pictures < 0:
        raise UserError(
            f"trimap={config.trimap}, pictures={config.pictures}: a band of at least 1, 0 or more pictures."
        )
    shard = own_shard(config.shard)
    crf = build_crf(config.crf, threads=1, device=config.device)
    eval_size = recipe(config.data or {}, DataRecipe).eval_size
    with preparing() as progress:
        trained, predictor = open_network(config, eval_size)
        labels, split = open_split(trained, config, progress)
        chosen = every(len(split), config.images)
        folder = Path(config.output).expanduser() / run_name(config.checkpoint)
        ids = [split.ids[index] for index in chosen]
        parts = Parts(folder, _deciding(config, predictor, ids), shard) if shard.count > 1 else None
        start = time.perf_counter()
        found = score_split(
            predictor,
            split,
            shard.of(chosen),
            len(labels),
            crf,
            config.trimap,
            config.pictures,
            workers(config.workers),
            progress,
        )
        part = Part(found, time.perf_counter() - start, str(predictor.device))
    about = {
        "scales": list(getattr(predictor.network, "scales", [1.0])),
        "fusion": config.fusion,
        "flip": config.flip,
        "flip_scales": config.flip_scales,
        "max_side": config.max_side,
        "precision": predictor.precision,
        "checkpoint": config.checkpoint,
        "step": trained.step,
        "data": config.data or trained.data,
        "split": config.split,
        "command": command,
    }
    if parts is None:
        return _conclude(part, config, labels, about, folder)
    with parts.completed_by(part) as found_by_all:
        if found_by_all is None:
            return None
        return _conclude(Part.merged(found_by_all, config.pictures), config, labels, about, folder)


def _deciding(config: EvaluateConfig, predictor: Predictor, ids: Sequence[str]) -> dict[str, Any]:
    """Everything that decides the scores and the pictures of the images with these ids."""
    assert config.checkpoint is not None
    with weights_file(config.checkpoint).open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        **deciding_of_use(config, EVALUATION),
        "weights": weights,
        "precision": predictor.precision,
        "pictures": config.pictures,
        "ids": ids,
    }


def _conclude(
    part: Part, config: EvaluateConfig, labels: LabelSet, about: Mapping[str, Any], parent: Path
) -> dict[str, Any]:
    """Write and show the result of all images.

    Args:
        part: of all images.
        config: the config of the command.
        labels: the label set.
        about: what was evaluated, for result.json.
        parent: the folder that gets the folder of the result.

    Returns:
        The content of result.json.
    """
    found = part.evaluation
    stages = ["network", "with the CRF"][: len(found.matrices)]
    scores, curves = found.scores, [trimap.curve() for trimap in found.trimaps]
    result = {
        **numbers(scores[0], labels),
        "crf": {**numbers(scores[1], labels), "parameters": asdict(config.crf)} if len(scores) > 1 else None,
        "trimap": dict(zip(("network", "crf"), curves, strict=False)),
        "images": len(found.images),
        "seconds": round(part.seconds, 1),
        "device": part.device,
        **about,
    }
    folder = new_folder(parent)
    confusion_chart(found.matrices, stages, labels, folder / "confusion.png")
    trimap_chart(dict(zip(stages, curves, strict=True)), folder / "trimap.png")
    write_text(folder / "images.csv", _images(found, stages))
    for name, results in (("helped", found.helped), ("hurt", found.hurt)):
        if results:
            save_png(_comparison(results, labels), folder / f"crf_{name}.png")
    write_json(folder / "result.json", result)
    _show(scores, stages, labels, found)
    print(f"{len(found.images)} images in {part.seconds:.1f} s; results: {folder}")
    return result


def _images(found: Evaluation, stages: Sequence[str]) -> str:
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["id", *(f"pixel accuracy, {stage}" for stage in stages)])
    rows.writerows([id, *(f"{value:.6f}" for value in values)] for id, values in found.images)
    return file.getvalue()


def _comparison(results: Sequence[ImageResult], labels: LabelSet) -> Any:
    rows = [(each.example.image, each.example.mask, *each.labels) for each in results]
    captions = [
        f"{each.example.id}: {100 * each.accuracies[0]:.1f} % -> {100 * each.accuracies[1]:.1f} % of its pixels right"
        for each in results
    ]
    return comparison(rows, labels, captions)  # type: ignore[arg-type]


def _show(scores: Sequence[Scores], stages: Sequence[str], labels: LabelSet, found: Evaluation) -> None:
    lines = []
    for number, name in enumerate(labels.names):
        cells = [each.per_class_iou[number] for each in scores]
        lines.append([name, *("-" if cell != cell else f"{cell:.3f}" for cell in cells)])
    for title, key in (("mIoU", "miou"), ("pixel accuracy", "pixel_accuracy"), ("mean accuracy", "mean_accuracy")):
        lines.append([title, *(f"{getattr(each, key):.4f}" for each in scores)])
    print(table(["IoU", *stages], lines, ()))
    for word, results in (("helped", found.helped), ("hurt", found.hurt)):
        for each in results[:1]:
            before, after = each.accuracies
            print(f"the CRF {word} most: {each.example.id}, {100 * (after - before):+.1f} % of its pixels")

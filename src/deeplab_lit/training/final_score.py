"""How a training ends: the best checkpoint is scored, with the CRF too, and the result written."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.data.drawing import panel, save_png
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference.predictor import PRECISIONS, Predictor
from deeplab_lit.inference.scoring import evaluate, numbers
from deeplab_lit.training.callbacks import Clock, Pictures
from deeplab_lit.training.console import show_result
from deeplab_lit.training.loggers import record_result
from deeplab_lit.training.row_pictures import write_wall
from deeplab_lit.training.runs import Run
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.utils.files import write_json
from deeplab_lit.utils.parallel import cores
from deeplab_lit.utils.progress import preparing
from deeplab_lit.weights.read import read


@dataclass
class Scoring:
    """What scores checkpoints of one training and writes result.json and the pictures.

    Attributes:
        trainer, run, segmenter, data, pictures, config: of the training.
        crf: to refine with before scoring once more, with ``threads=1``; None for the network alone.
        normalization: of the network's input.
    """

    trainer: L.Trainer
    run: Run
    segmenter: Segmenter
    data: SegmentationData
    pictures: Pictures
    crf: DenseCRF | None
    config: TrainConfig
    normalization: Normalization


def evaluate_best(scoring: Scoring, clock: Clock, best: ModelCheckpoint, command: str) -> dict[str, Any]:
    """Score the best checkpoint of a training that has come to its end.

    Args:
        scoring: of the training.
        clock, best: callbacks of its trainer.
        command: what the user typed.

    Returns:
        What result.json holds.
    """
    trainer, segmenter, data = scoring.trainer, scoring.segmenter, scoring.data
    # the first process alone knows where a new run lies
    run = scoring.run = trainer.strategy.broadcast(scoring.run)
    loggers = _quiet(trainer)
    if segmenter.validated_at != trainer.global_step:
        trainer.validate(segmenter, data, verbose=False)
        if best.best_model_score is None or segmenter.scores.miou > best.best_model_score:  # type: ignore[union-attr]
            trainer.save_checkpoint(run.best)
    trainer.save_checkpoint(run.last)
    trainer.strategy.barrier()
    told = {"steps": trainer.global_step, "seconds": round(clock.seconds, 1), "command": command}
    return score(scoring, run.best, told, loggers)


def score(
    scoring: Scoring, checkpoint: Path, told: dict[str, Any], loggers: list[Logger] | None = None
) -> dict[str, Any]:
    """Score a checkpoint, alone and with the CRF, and write what it comes to into the run directory.

    Args:
        scoring: of the training.
        checkpoint: with the weights to score.
        told: more for result.json.
        loggers: to write to; None: the trainer's.

    Returns:
        What result.json holds.
    """
    trainer, run, segmenter, data = scoring.trainer, scoring.run, scoring.segmenter, scoring.data
    crf, config = scoring.crf, scoring.config
    loggers = _quiet(trainer) if loggers is None else loggers
    content = read(checkpoint)
    segmenter.load_state_dict(content["state_dict"])
    began = time.monotonic()
    trainer.validate(segmenter, data, verbose=False)
    spent = time.monotonic() - began
    scores, matrix = segmenter.scores, segmenter.matrix
    assert scores is not None and matrix is not None
    result: dict[str, Any] = {
        **numbers(scores, data.labels),
        "images": {"train": len(data.train_split), "validation": len(data.val_split)},
        "params": sum(parameter.numel() for parameter in segmenter.parameters()),
        "images_per_second": round(len(data.val_split) / spent, 3),
        "best_step": content["global_step"],
        "checkpoint": str(checkpoint),
        **told,
    }
    if config.row is not None:
        result["row"] = {key: getattr(config.row, key) for key in ("table", "name", "scale", "marks", "published")}
    if trainer.is_global_zero:
        rows, ids = scoring.pictures.predict(segmenter, data)
        refined: list[NDArray[np.uint8]] = []
        if crf is not None:
            predictor = _predictor(trainer, segmenter, scoring.normalization, config.eval_size)
            result["crf"] = {**_refined(predictor, data, crf), "parameters": asdict(config.crf)}
            refined = [crf.labels(image, predictor.probabilities(image)) for image, _, _ in rows]
        if config.row is not None:
            result["pictures"] = ids
            write_wall(rows, refined, data.labels, run.folder / "pictures" / "wall")
        save_png(panel(rows, data.labels, ids), run.folder / "pictures" / "validation.png")
        record_result(loggers, result, matrix.numpy(), data.labels, run)
        write_json(run.result, result)
        show_result(result, run)
    return result


def _quiet(trainer: L.Trainer) -> list[Logger]:
    """Take the loggers and the progress bar from a trainer: what it validates from now on is no part of the curve."""
    trainer.loggers, loggers = [], trainer.loggers
    if trainer.progress_bar_callback is not None:
        trainer.progress_bar_callback.disable()
    return loggers


def _predictor(trainer: L.Trainer, segmenter: Segmenter, normalization: Normalization, size: int) -> Predictor:
    """The network as it was validated."""
    precision = str(trainer.precision)
    return Predictor(
        segmenter.network.eval(), normalization, size, precision=precision if precision in PRECISIONS else "auto"
    )


def _refined(predictor: Predictor, data: SegmentationData, crf: DenseCRF) -> dict[str, Any]:
    split, classes = data.val_split, len(data.labels)
    threads = torch.get_num_threads()
    # waiting threads of the network would hold the cores that the CRF's need
    torch.set_num_threads(max(1, threads // 2))
    try:
        with preparing() as progress:
            found = evaluate(predictor, split, range(len(split)), classes, crf, 40, 0, cores(), progress)
    finally:
        torch.set_num_threads(threads)
    before, after = (trimap.curve() for trimap in found.trimaps)
    return {**numbers(found.scores[1], data.labels), "trimap": {"before": before, "after": after}}

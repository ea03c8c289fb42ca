"""The final score of a training: its best checkpoint without and with the CRF, as result.json and pictures."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.data.drawing import comparison, panel, save_png
from deeplab_lit.inference.predictor import PRECISIONS, Predictor
from deeplab_lit.inference.scoring import Evaluation, numbers, score_split
from deeplab_lit.training.build import Training
from deeplab_lit.training.log import log
from deeplab_lit.training.loggers import log_result
from deeplab_lit.training.result import Result
from deeplab_lit.training.result_table import show_result
from deeplab_lit.training.row_pictures import write_row_pictures
from deeplab_lit.training.runs import Run
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.hardware import of_all
from deeplab_lit.utils.parallel import cores
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import Shard, interleaved
from deeplab_lit.weights.read import read


def score_best(training: Training, command: str) -> Result:
    """Score the kept checkpoint of a training after its last step, and write result.json and pictures.

    Args:
        training: after its last step.
        command: what the user typed.

    Returns:
        The content of result.json.
    """
    trainer, segmenter, data = training.trainer, training.segmenter, training.data
    # only the first process knows the folder of a new run
    training.run = run = trainer.strategy.broadcast(training.run)
    loggers = _taken_loggers(trainer)
    if segmenter.validated_at != trainer.global_step:
        trainer.validate(segmenter, data, verbose=False)
        assert segmenter.scores is not None
        best = training.best.best_model_score
        if training.config.keep == "last" or best is None or segmenter.scores.miou > best:
            trainer.save_checkpoint(run.best)
    trainer.save_checkpoint(run.last)
    trainer.strategy.barrier()
    of_training = {"steps": trainer.global_step, "seconds": round(training.clock.seconds, 1), "command": command}
    return _score(training, run.best, of_training, loggers)


def score_finished(training: Training, trained: Run, command: str) -> Result:
    """Score the best checkpoint of a finished run of the same training, and write result.json and pictures.

    Args:
        training: not fitted; its run directory gets the result.
        trained: the finished run.
        command: what the user typed.

    Returns:
        The content of result.json.
    """
    log.info("evaluated  only: its training is that of %s", trained.folder)
    steps = Result.read(trained.result).steps
    of_training = {"steps": steps, "seconds": 0.0, "trained_by": str(trained.folder), "command": command}
    return _score(training, trained.best, of_training, _taken_loggers(training.trainer))


def _score(training: Training, checkpoint: Path, of_training: dict[str, Any], loggers: list[Logger]) -> Result:
    """Score a checkpoint, alone and with the CRF.

    Args:
        training: its network loads the weights.
        checkpoint: the file with the weights to score.
        of_training: the fields of the result that describe the training.
        loggers: those that log the result.
    """
    trainer, run, segmenter, data = training.trainer, training.run, training.segmenter, training.data
    config, crf = training.config, training.plan.crf
    content = read(checkpoint)
    segmenter.load_state_dict(content["state_dict"])
    if segmenter.scores is None or content["global_step"] != segmenter.validated_at:
        trainer.validate(segmenter, data, verbose=False)
    scores, matrix = segmenter.scores, segmenter.matrix
    assert scores is not None and matrix is not None
    result = Result(
        **numbers(scores, data.labels),
        images={"train": len(data.train_split), "validation": len(data.val_split)},
        global_batch_size=config.global_batch_size,
        left_out=segmenter.left_out or None,
        params=sum(parameter.numel() for parameter in segmenter.parameters()),
        images_per_second=round(len(data.val_split) / segmenter.validation_seconds, 3),
        best_step=content["global_step"],
        checkpoint=str(checkpoint),
        code=training.code,
        **of_training,
    )
    if config.row is not None:
        result.row = {name: getattr(config.row, name) for name in ("table", "name", "budget", "marks", "published")}
        if config.global_batch_size != config.row.batch:
            result.row["departs"] = f"{config.global_batch_size} instead of {config.row.batch}"
    segmenter.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    shard = Shard(trainer.global_rank + 1, trainer.world_size)
    rows, ids = training.pictures.predict(segmenter, data, shard)
    refined: list[Bytes] = []
    if crf is not None:
        predictor = _predictor(training)
        result.crf = {**_with_crf(predictor, training, crf, shard), "parameters": asdict(config.crf)}
        refined = [crf.labels(image, predictor.probabilities(image)) for image, _, _ in rows]
    rows, ids, refined = interleaved(of_all(rows)), interleaved(of_all(ids)), interleaved(of_all(refined))
    if trainer.is_global_zero:
        if config.row is not None:
            result.pictures = ids
        _write_pictures(training, rows, ids, refined)
        result.write(run.result)
        show_result(result, run)
        log_result(loggers, result, matrix.numpy(), data.labels, run)
    return result


def _write_pictures(
    training: Training, rows: list[tuple[Pixels, Bytes, Bytes]], ids: list[str], refined: list[Bytes]
) -> None:
    """Write pictures/validation.png, and the row pictures of a row of a published table."""
    labels, folder = training.data.labels, training.run.folder / "pictures"
    if training.config.row is not None:
        write_row_pictures(rows, refined, labels, folder / "wall")
    if refined:
        pairs = [(*row, with_crf) for row, with_crf in zip(rows, refined, strict=True)]
        save_png(comparison(pairs, labels, ids), folder / "validation.png")
    else:
        save_png(panel(rows, labels, ids), folder / "validation.png")


def _taken_loggers(trainer: L.Trainer) -> list[Logger]:
    """Detach the loggers from a trainer and disable its progress bar; returns the loggers.

    Later validations are then not logged as points of the training curve.
    """
    trainer.loggers, loggers = [], trainer.loggers
    if trainer.progress_bar_callback is not None:
        trainer.progress_bar_callback.disable()
    return loggers


def _predictor(training: Training) -> Predictor:
    """A predictor of the network with the normalisation, padding and precision of the validation."""
    precision = str(training.trainer.precision)
    return Predictor(
        training.segmenter.network.eval(),
        training.data.normalization,
        training.config.eval_size,
        window=sys.maxsize,  # the validation takes images whole
        device=str(training.trainer.strategy.root_device),
        precision=precision if precision in PRECISIONS else "auto",
    )


def _with_crf(predictor: Predictor, training: Training, crf: DenseCRF, shard: Shard) -> dict[str, Any]:
    """The scores with the CRF, and the trimap curves before and after it; each process scores its shard."""
    split, labels = training.data.val_split, training.data.labels
    threads = torch.get_num_threads()
    # idle threads of the network would occupy cores that the CRF's threads need
    torch.set_num_threads(max(1, threads // 2))
    try:
        with preparing() as progress:
            own = shard.of(range(len(split)))
            workers = max(1, cores() // training.trainer.num_devices)
            scored = score_split(predictor, split, own, len(labels), crf, 40, 0, workers, progress)
    finally:
        torch.set_num_threads(threads)
    scored = Evaluation.merged(of_all(scored), 0)
    before, after = (trimap.curve() for trimap in scored.trimaps)
    return {**numbers(scored.scores[1], labels), "trimap": {"before": before, "after": after}}

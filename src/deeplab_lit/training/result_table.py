"""The result table of a training: what it logs after its last step."""

from __future__ import annotations

import math

from deeplab_lit.training.log import log
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run
from deeplab_lit.utils.terminal import table


def show_result(result: Result, run: Run) -> None:
    """Log the IoU of each class, the mIoU and the accuracies, and the paths of run directory and picture."""
    lines = []
    for name, iou in result.per_class_iou.items():
        known = iou is not None and not math.isnan(iou)
        bar = "█" * round(30 * iou) if known else "does not occur"  # type: ignore[operator]
        lines.append([name, f"{iou:.3f}" if known else "-", bar])
    log.info("\n%s\n", table(("class", "IoU", ""), lines, ("",)))
    log.info(
        "mIoU %.4f (best, at step %d), pixel accuracy %.4f, mean accuracy %.4f, %.0f s",
        result.miou, result.best_step, result.pixel_accuracy, result.mean_accuracy, result.seconds,
    )  # fmt: skip
    if result.crf is not None:
        log.info("with the CRF: mIoU %.4f, pixel accuracy %.4f", result.crf["miou"], result.crf["pixel_accuracy"])
    if result.left_out:
        log.warning("%d of %d steps were left out: their losses were not finite", result.left_out, result.steps)
    log.info("run directory: %s", run.folder)
    log.info("picture: %s", run.folder / "pictures" / "validation.png")

"""Build a training from its plan: data, network, run directory, callbacks and trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import IMAGENET, Normalization
from deeplab_lit.data.training_data import build_data, class_weights
from deeplab_lit.models.dry_run import check_parts
from deeplab_lit.models.network import Network, build_network
from deeplab_lit.models.norm import has_trained_norms
from deeplab_lit.training.callbacks import Clock, Pictures, Throughput, in_order
from deeplab_lit.training.checkpoints import check_resumable, keep_last, keep_scored
from deeplab_lit.training.curve import LastValidation, UnbrokenCurve
from deeplab_lit.training.interrupts import SaveFirst
from deeplab_lit.training.lightning_private import MovingAverage
from deeplab_lit.training.log import log_to
from deeplab_lit.training.loggers import open_loggers
from deeplab_lit.training.not_finite import OnNan
from deeplab_lit.training.optim import train_only_new
from deeplab_lit.training.plan import Plan
from deeplab_lit.training.progress_bar import progress_callback
from deeplab_lit.training.runs import Run, discard, new_run, save_config
from deeplab_lit.training.segmenter import Compiled, Segmenter
from deeplab_lit.training.trainer import build_trainer
from deeplab_lit.utils.code_version import code_version
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.gpus import free_gpu
from deeplab_lit.utils.locks import one_or_none
from deeplab_lit.utils.progress import preparing
from deeplab_lit.weights.description import describe
from deeplab_lit.weights.initialize import initialize


@dataclass
class Training:
    """A training that is ready to begin.

    Attributes:
        plan: the plan that it was built from.
        run: the run directory; before the training, only the first process knows the folder of a new run.
        data, segmenter, trainer: what Lightning trains.
        started: lines that say where the weights come from.
        clock, pictures, best: callbacks of the trainer whose state is read after the training.
        code: the version of this library when the training began.
    """

    plan: Plan
    run: Run
    data: SegmentationData
    segmenter: Segmenter
    trainer: L.Trainer
    started: list[str]
    clock: Clock
    pictures: Pictures
    best: ModelCheckpoint
    code: str = field(default_factory=code_version)

    @property
    def config(self) -> TrainConfig:
        return self.plan.config


@contextmanager
def build(plan: Plan, command: str, watchers: Sequence[Callback] = ()) -> Iterator[Training]:
    """Build a training. Inside the context, its run directory is locked and its loggers are open.

    Args:
        plan: what to build.
        command: what the user typed.
        watchers: callbacks beside those that every training has.

    Raises:
        UserError: data, weights or arguments do not fit. A new run directory is removed.
    """
    config = plan.config
    L.seed_everything(config.seed, workers=True, verbose=False)
    with preparing() as report:
        progress = report if plan.first else None
        data = build_data(config, plan.normalization, progress)
        weights = class_weights(config.loss.class_weights, data, progress)
    network = build_network(plan.network, len(data.labels))
    check_parts(network, len(data.labels))
    description = describe(plan.network, data.labels, data.normalization, config.eval_size, _described_data(config))
    started = _start(plan, network, data.labels, description)
    if config.train_only_new:
        train_only_new(network)
    segmenter = build_segmenter(
        config, network, data.labels, plan.trainer["precision"], description, weights, data.normalization
    )
    with ExitStack() as stack:
        run = stack.enter_context(_run_directory(plan))
        clock, pictures, best = Clock(), Pictures(config.pictures), keep_scored(run, config.keep)
        callbacks = [
            clock, UnbrokenCurve(), LastValidation(), Throughput(), pictures, progress_callback(), best, keep_last(run),
            SaveFirst(run.last, command), *([] if config.ema is None else [MovingAverage(config.ema)]), *watchers,
        ]  # fmt: skip
        more = {"logger": False, "callbacks": in_order(callbacks), "default_root_dir": run.folder}
        arguments = plan.trainer
        told = arguments.get("devices")
        one = told == 1 or (isinstance(told, list) and len(told) == 1)
        if one and torch.cuda.device_count() > 1 and arguments.get("accelerator") != "cpu":
            arguments = {**arguments, "devices": [stack.enter_context(free_gpu(None if told == 1 else told))]}
        own_statistics = has_trained_norms(network) and not arguments.get("sync_batchnorm")
        try:
            trainer = build_trainer(config, arguments, broadcast_buffers=own_statistics, **more)
            loggers = stack.enter_context(open_loggers(config.logger if plan.first else None, run.folder, config))
        except UserError:
            if plan.first and not plan.resumed:
                discard(run, Path(config.output).expanduser())
            raise
        trainer.loggers = loggers
        yield Training(plan, run, data, segmenter, trainer, started, clock, pictures, best)


def _described_data(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in config.data.items() if name != "recipe"}


def _start(plan: Plan, network: Network, labels: LabelSet, description: dict[str, Any]) -> list[str]:
    """Initialise the network, unless a checkpoint is loaded later. Returns lines that name the weights."""
    if plan.resumed and plan.resumed.resume_from and plan.weights:
        check_resumable(plan.resumed.resume_from, plan.weights, description)
        return ["the weights of the checkpoint"]
    return [] if plan.trained else initialize(network, plan.init, labels, plan.network["backbone"], plan.weights)


@contextmanager
def _run_directory(plan: Plan) -> Iterator[Run]:
    """The run directory; in the first process it is locked, and the log is written to it."""
    config = plan.config
    if not plan.first:
        yield plan.resumed or Run(Path(config.output).expanduser() / config.name)
        return
    run = plan.resumed or new_run(config)
    refusal = f"another process is training in {run.folder}: wait for its end, or resume=null starts a run of its own."
    with one_or_none(run.folder / "run", refusal):
        if plan.resumed:
            if run.result.is_file():  # that of a shorter training, which would make this one look finished
                run.result.replace(run.folder / "result-before.json")
            save_config(run, config)
        log_to(run.folder / "train.log")
        yield run


def build_segmenter(
    config: TrainConfig,
    network: Network,
    labels: LabelSet,
    precision: str,
    description: dict[str, Any] | None = None,
    weights: list[float] | None = None,
    normalization: Normalization = IMAGENET,
) -> Segmenter:
    """The LightningModule of a config.

    Args:
        config: of the training.
        network, labels, description: as in :class:`Segmenter`.
        precision: of the trainer; in half precision, channels-last memory format is the default.
        weights: the weight of each class in the loss.
        normalization: of the network's input.
    """
    return Segmenter(
        network,
        labels,
        config.optimizer,
        config.schedule,
        config.max_steps,
        config.loss,
        precision.startswith(("bf16", "16")) if config.channels_last is None else config.channels_last,
        description,
        weights,
        config.seed,
        cast(Compiled, config.compile),
        cast(OnNan, config.on_nan),
        normalization,
    )

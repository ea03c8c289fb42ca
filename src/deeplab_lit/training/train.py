"""One training from its config: build and check everything, fit, evaluate the best checkpoint, write the result."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from deeplab_lit.config.schemas import CheckpointConfig, CRFConfig, DenseCRFConfig, TrainConfig
from deeplab_lit.crf.parameters import Normalization as CRFNormalization
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.training_data import build_data, class_weights
from deeplab_lit.inference.trained import WholeFileCheckpoint, check_resumable
from deeplab_lit.models.atrous import Realisation
from deeplab_lit.models.multiscale import MscLoss
from deeplab_lit.models.network import Network, build_network
from deeplab_lit.training.callbacks import Clock, MovingAverage, Pictures, Throughput, UnbrokenCurve, progress_shown
from deeplab_lit.training.console import log, log_to, quiet_libraries, show_summary
from deeplab_lit.training.final_score import Scoring, evaluate_best, score
from deeplab_lit.training.interrupts import SaveFirst
from deeplab_lit.training.loggers import open_loggers
from deeplab_lit.training.losses import Resolution
from deeplab_lit.training.not_finite import LossNotFinite, OnNan
from deeplab_lit.training.optim import train_only_new
from deeplab_lit.training.runs import Run, find_finished, fingerprint, open_run
from deeplab_lit.training.runs import record as save_config
from deeplab_lit.training.segmenter import Compiled, Segmenter
from deeplab_lit.training.synchronised_norms import SynchronisedNorms
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import write_json
from deeplab_lit.utils.hardware import is_first_process, resolve_precision, set_tf32
from deeplab_lit.utils.instantiate import locate
from deeplab_lit.utils.locks import one_or_none
from deeplab_lit.utils.parallel import own_start_method
from deeplab_lit.utils.progress import preparing
from deeplab_lit.weights.description import CHECKPOINT_KEY, describe
from deeplab_lit.weights.initialize import start
from deeplab_lit.weights.read import read


def train(
    config: TrainConfig, record: dict[str, Any], command: str, watchers: Sequence[Callback] = ()
) -> dict[str, Any]:
    """Run a whole training.

    Args:
        config: the typed config.
        record: the same as builtins, for the run directory and the checkpoints.
        command: what the user typed, for result.json.
        watchers: callbacks beside those that every training has.

    Returns:
        What result.json holds.

    Raises:
        UserError: anything in the config that cannot work, before the first batch wherever it can be known.
    """
    quiet_libraries()
    own_start_method()
    L.seed_everything(config.seed, workers=True, verbose=False)
    _check_values(config)
    set_tf32(config.tf32)
    crf = build_crf(config.crf, threads=1)
    first = is_first_process()
    trained = find_finished(Path(config.output).expanduser(), fingerprint(record)) if config.row else []
    resume_from = open_run(record, make=False).resume_from if config.resume and not trained else None
    # weights bring their normalisation, those that a run goes on with before those that it began with
    init = CheckpointConfig(path=config.row.start) if config.row and config.row.start else config.init
    weights_file = resume_from or (init.path if isinstance(init, CheckpointConfig) else None)
    normalization = _input_normalization(config, record["backbone"], weights_file)
    with preparing() as report:
        progress = report if first else None
        data = build_data(config, normalization, progress)
        weights = class_weights(config.loss.class_weights, data, progress)
    last_layer = _last_layer(config.crf, normalization)
    if last_layer:
        crf = None
    spec = {**network_spec(config, record), "crf": last_layer}
    network = build_network(spec, len(data.labels))
    arguments = trainer_arguments(config)
    description = describe(spec, data.labels, normalization, config.eval_size, record["data"])
    if resume_from:
        check_resumable(resume_from, description)
        started = ["the weights of the checkpoint"]
    elif not trained:
        started = start(network, init, data.labels, record["backbone"])
    if config.train_only_new:
        train_only_new(network)
    run = open_run({**record, "resume": None} if trained else record, make=first)
    refusal = f"another process is training in {run.folder}: wait for its end, or resume=null starts a run of its own."
    with one_or_none(run.folder / "run", refusal) if first else nullcontext():
        if first:
            if run.resume_from:
                save_config(run, record)
            log_to(run.folder / "train.log")
        segmenter = build_segmenter(config, network, data.labels, arguments, description, weights)
        clock, pictures = Clock(), Pictures(config.pictures)
        best = _checkpoint(run, "best", monitor="val/miou", mode="max")
        # SaveFirst after UnbrokenCurve, which drops the rows that a validation it makes up for writes again
        callbacks: list[Callback] = [clock, UnbrokenCurve(), Throughput(), pictures, progress_shown(), best]
        if config.ema is not None:
            callbacks.append(MovingAverage(config.ema))
        callbacks += [_checkpoint(run, "last"), SaveFirst(run.last, command), *watchers]
        with open_loggers(config.logger if first else None, run.folder, config.name, record) as loggers:
            trainer = _trainer(config, arguments, logger=loggers, callbacks=callbacks, default_root_dir=run.folder)
            scoring = Scoring(trainer, run, segmenter, data, pictures, crf, config, normalization)
            if trained:
                return score(scoring, trained[-1].best, {**_of_training(trained[-1]), "command": command})
            if first:
                show_summary(config, run, segmenter, data, arguments, started, normalization, trainer.world_size)
            _fit(trainer, segmenter, data, run, first)
            return evaluate_best(scoring, clock, best, command)


def _fit(trainer: L.Trainer, segmenter: Segmenter, data: SegmentationData, run: Run, first: bool) -> None:
    try:
        trainer.fit(segmenter, data, ckpt_path=run.resume_from, weights_only=True)
    except LossNotFinite as error:
        raise _stopped(error, run, first) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
            # PyTorch's handler would raise again for this loader at each child that ends, in the midst of tidying up
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raise UserError(
            "a loader process was killed, most often because memory was short: a smaller num_workers needs less, and "
            "resume=auto goes on from the last checkpoint."
        ) from error


def _stopped(error: LossNotFinite, run: Run, first: bool) -> UserError:
    """What a loss that is not finite ends with; the ids of its images are kept."""
    path = run.folder / "not_finite.json"
    if first:
        write_json(path, {"step": error.step, "ids": error.ids})
    shown = ", ".join(error.ids[:3]) + (f" and {len(error.ids) - 3} more" if len(error.ids) > 3 else "")
    return UserError(
        f"the loss of step {error.step} is not finite (images {shown}; all of them: {path}). Nothing was done with it. "
        "A lower optimizer.lr or trainer.gradient_clip_val=10 may help; on_nan=skip leaves such steps out."
    )


def build_segmenter(
    config: TrainConfig,
    network: Network,
    labels: LabelSet,
    arguments: dict[str, Any],
    description: dict[str, Any] | None = None,
    weights: list[float] | None = None,
) -> Segmenter:
    """The LightningModule of a config.

    Args:
        config: of the training.
        network, labels, description: as in :class:`Segmenter`.
        arguments: of the trainer, from :func:`trainer_arguments`.
        weights: of the classes in the loss.
    """
    return Segmenter(
        network,
        labels,
        config.optimizer,
        config.schedule,
        config.max_steps,
        cast(Resolution, config.loss.resolution),
        arguments["precision"].startswith("bf16") if config.channels_last is None else config.channels_last,
        description,
        weights,
        config.seed,
        cast(Compiled, config.compile),
        cast(OnNan, config.on_nan),
    )


def _of_training(run: Run) -> dict[str, Any]:
    """What a result says of a training that another run has done."""
    log.info("evaluated  only: its training is that of %s", run.folder)
    return {"steps": json.loads(run.result.read_text())["steps"], "seconds": 0.0, "trained_by": str(run.folder)}


def _input_normalization(config: TrainConfig, backbone: dict[str, Any], weights_file: Any) -> Normalization:
    """What belongs to the weights that training starts from."""
    if weights_file:
        return Normalization.chosen(read(weights_file)[CHECKPOINT_KEY]["normalization"])
    if config.parity.normalization == "own":  # the trunk's class knows it, by its arguments
        trunk = locate(backbone.get("_target_"), "backbone")
        return Normalization.chosen(trunk.input_normalization(backbone))
    return Normalization.chosen(config.parity.normalization)


def network_spec(config: TrainConfig, record: dict[str, Any]) -> dict[str, Any]:
    """The description of a config's network, as :func:`build_network` takes it and checkpoints hold it."""
    return {
        "backbone": record["backbone"],
        "model": record["model"],
        "scales": config.scales.factors,
        "align_corners": config.align_corners,
        "atrous": config.atrous,
        "msc_loss": config.loss.msc,
        "recompute": config.scales.recompute,
    }


def _last_layer(config: CRFConfig, normalization: Normalization) -> dict[str, Any] | None:
    """The description of a CRF that is trained with the network."""
    if not isinstance(config, DenseCRFConfig) or not config.trainable:
        return None
    others = ("name", "engine", "prune_threshold", "trainable")
    return {**{key: value for key, value in vars(config).items() if key not in others}, "input": asdict(normalization)}


def _checkpoint(run: Run, name: str, **arguments: Any) -> ModelCheckpoint:
    return ModelCheckpoint(
        run.checkpoints,
        filename=name,
        save_top_k=1,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
        auto_insert_metric_name=False,
        **arguments,
    )


def _check_values(config: TrainConfig) -> None:
    for key in ("batch_size", "eval_batch_size", "max_steps", "val_every", "crop_size", "eval_size"):
        if getattr(config, key) < 1:
            raise UserError(f"{key}={getattr(config, key)}: it is at least 1.")
    for key, value, allowed in (
        ("loss.resolution", config.loss.resolution, get_args(Resolution)),
        ("loss.msc", config.loss.msc, get_args(MscLoss)),
        ("atrous", config.atrous, get_args(Realisation)),
        ("compile", config.compile, get_args(Compiled)),
        ("on_nan", config.on_nan, get_args(OnNan)),
        ("sampling", config.sampling, ("uniform", "rare_classes")),
        ("parity.crf_normalization", config.parity.crf_normalization, get_args(CRFNormalization)),
    ):
        if value not in allowed:
            raise UserError(f"{key}={value!r} is not known: choose one of {', '.join(allowed)}.")
    if config.ema is not None and not 0 < config.ema < 1:
        raise UserError(f"ema={config.ema}: it is above 0 and below 1, such as 0.999, or null for no average.")
    if config.compile == "network" and config.scales.recompute:
        raise UserError("compile=network cannot compute scales twice: type compile=loss, or scales.recompute=false.")
    for key in ("num_workers", "decoded_gb", "pictures"):
        if getattr(config, key) < 0:
            raise UserError(f"{key}={getattr(config, key)}: it is at least 0.")


def trainer_arguments(config: TrainConfig) -> dict[str, Any]:
    """Arguments of ``lightning.Trainer`` for this machine; raises UserError for what it refuses."""
    arguments = {key: value for key, value in config.trainer.items() if key != "recipe"}
    wanted = arguments.get("accelerator")
    if wanted in ("gpu", "cuda") and not torch.cuda.is_available() and not torch.backends.mps.is_available():
        raise UserError(
            f"trainer.accelerator={wanted}, but PyTorch sees no GPU here: type trainer.accelerator=cpu, or trainer="
            "default, which takes what there is, or install the build of PyTorch for this machine's GPU."
        )
    if arguments.get("sync_batchnorm") == "auto":
        arguments["sync_batchnorm"] = torch.cuda.is_available() and wanted != "cpu"
    arguments["precision"] = resolve_precision(str(arguments.get("precision", "auto")), arguments.get("accelerator"))
    # made once now, so that a wrong key or a missing device is known before anything is written
    _trainer(config, {**arguments, "logger": False})
    return arguments


def _trainer(config: TrainConfig, arguments: dict[str, Any], **more: Any) -> L.Trainer:
    fixed: dict[str, Any] = {
        "max_steps": config.max_steps,
        "max_epochs": -1,
        "val_check_interval": config.val_every * int(arguments.get("accumulate_grad_batches", 1)),
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "enable_model_summary": False,
        "enable_progress_bar": sys.stdout.isatty(),
        "enable_checkpointing": "callbacks" in more,
    }
    arguments = {key: value for key, value in arguments.items() if key not in ("plugins", "sync_batchnorm")} | {
        "plugins": [
            WholeFileCheckpoint(),
            *([SynchronisedNorms()] if arguments.get("sync_batchnorm") else []),
            *(arguments.get("plugins") or []),
        ]
    }
    try:
        return L.Trainer(**{**fixed, **arguments, **more})
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"trainer={arguments} is refused by lightning.Trainer: {error}") from error

"""The plan of a training: what follows from its config before data are read and files are written."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from deeplab_lit.config.checks import check_numbers
from deeplab_lit.config.recipes import without_recipe
from deeplab_lit.config.schemas import (
    CheckpointConfig,
    CRFConfig,
    DenseCRFConfig,
    InitConfig,
    LoggerConfig,
    TrainConfig,
)
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.parameters import Normalization as CRFNormalization
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.pixel_format import RGB, PixelFormat
from deeplab_lit.models.atrous import Realisation
from deeplab_lit.models.multiscale import MscLoss
from deeplab_lit.training.losses import Resolution
from deeplab_lit.training.not_finite import OnNan
from deeplab_lit.training.own_process import launched_outside
from deeplab_lit.training.runs import Run, find_finished, fingerprint, is_finished, run_to_resume
from deeplab_lit.training.segmenter import Compiled
from deeplab_lit.training.step_batch import share
from deeplab_lit.training.trainer import build_trainer, trainer_arguments
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.hardware import is_first_process
from deeplab_lit.utils.instantiate import locate
from deeplab_lit.utils.parallel import cores
from deeplab_lit.weights.description import CHECKPOINT_KEY
from deeplab_lit.weights.read import read

_MOST_WORKERS = 8


@dataclass(frozen=True)
class Plan:
    """What a training will do.

    Attributes:
        config: as composed, with numbers in the place of null for the sizes of batches and ``num_workers``.
        first: whether this is the first process of the training, which alone writes and prints.
        trained: a finished run of the same training, whose checkpoint is scored without training, or None.
        resumed: the run to resume, or None for a new one.
        done: whether nothing is left to train or to score of the run that is resumed.
        init: the initialisation of a run that is not resumed.
        weights: the content of the file of weights that the training starts from or resumes, or None.
        normalization: of the network's input; it belongs to the weights, and the data set says it of further channels
            (:func:`deeplab_lit.data.data_normalization.of_data`).
        crf: the CRF that the best checkpoint is scored with as well, or None.
        network: the description of the network.
        trainer: arguments of ``lightning.Trainer`` for this machine.
    """

    config: TrainConfig
    first: bool
    trained: Run | None
    resumed: Run | None
    done: bool
    init: InitConfig
    weights: dict[str, Any] | None
    normalization: Normalization
    crf: DenseCRF | None
    network: dict[str, Any]
    trainer: dict[str, Any]


def make_plan(config: TrainConfig) -> Plan:
    """Make the plan of a training.

    Raises:
        UserError: a value is not allowed, a run or file of weights does not exist, the run to resume is finished and
            has other values, a package is not installed, or this machine lacks the device.
    """
    check_numbers(config)
    _check_choices(config)
    _check_of_rgb(config)
    _check_loggers(config.logger)
    crf = build_crf(config.crf, threads=1)
    trainer = trainer_arguments(config)
    config = settle(config, trainer)
    finished = (
        find_finished(Path(config.output).expanduser(), fingerprint(config.as_dict())) if _takes_others(config) else []
    )
    resumed = None if finished else run_to_resume(config)
    init = CheckpointConfig(path=config.row.start) if config.row and config.row.start else config.init
    weights = _weights(resumed, init)
    normalization = _normalization(config, weights)
    last_layer = _last_layer(config.crf, normalization)
    return Plan(
        config=config,
        first=is_first_process(),
        trained=finished[-1] if finished else None,
        resumed=resumed,
        done=resumed is not None and is_finished(resumed, (weights or {}).get("global_step", 0), config.max_steps),
        init=init,
        weights=weights,
        normalization=normalization,
        crf=None if last_layer else crf,
        network={**network_spec(config), "crf": last_layer},
        trainer=trainer,
    )


def _weights(resumed: Run | None, init: InitConfig) -> dict[str, Any] | None:
    """The checkpoint to resume, or else the initial weights, if they are in a file of any layout."""
    if resumed and resumed.resume_from:
        return read(resumed.resume_from)
    return read(init.path, init.rates) if isinstance(init, CheckpointConfig) else None


def _takes_others(config: TrainConfig) -> bool:
    """Whether a finished run of the same training is scored instead of training again: rows share trainings."""
    return config.row is not None and config.resume == "auto"


def settle(config: TrainConfig, arguments: dict[str, Any]) -> TrainConfig:
    """The config with the sizes of batches and the number of loader processes that fit the training's processes.

    Args:
        config: as composed.
        arguments: from :func:`deeplab_lit.training.trainer.trainer_arguments`.

    Raises:
        UserError: the processes cannot share the batch, or ``lightning.Trainer`` refuses its arguments.
    """
    trainer = build_trainer(config, arguments, logger=False, enable_checkpointing=False)
    if launched_outside() and trainer.world_size == 1:
        raise UserError(
            "torchrun or srun started several processes, and each of them would train alone: type trainer=ddp with "
            "torchrun, trainer=slurm with srun, or start one process."
        )
    batch = share(config, trainer.world_size)
    workers, validated = config.num_workers, config.eval_batch_size
    if workers is None:
        # under SLURM each task has cores of its own
        sharing = 1 if "SLURM_STEP_NUM_TASKS" in os.environ else trainer.num_devices
        workers = min(_MOST_WORKERS, max(1, cores() // sharing))
    if validated is None:
        validated = 8 if trainer.strategy.root_device.type == "cuda" else 1
    return replace(
        config, batch_size=batch.each, global_batch_size=batch.total, num_workers=workers, eval_batch_size=validated
    )


def network_spec(config: TrainConfig) -> dict[str, Any]:
    """The description of a config's network, as :func:`deeplab_lit.models.network.build_network` takes it."""
    return {
        "backbone": without_recipe(config.backbone),
        "model": without_recipe(config.model),
        "scales": config.scales.factors,
        "align_corners": config.align_corners,
        "atrous": config.atrous,
        "msc_loss": config.loss.msc,
        "recompute": config.scales.recompute,
        "channels": config.data.get("channels", 3),
    }


def _normalization(config: TrainConfig, weights: dict[str, Any] | None) -> Normalization:
    """The normalisation that belongs to the weights from which the training starts."""
    if weights:
        return Normalization.chosen(weights[CHECKPOINT_KEY]["normalization"])
    if config.parity.normalization == "own":  # the trunk's class derives it from its arguments
        trunk = locate(config.backbone.get("_target_"), "backbone")
        return Normalization.chosen(trunk.input_normalization(config.backbone))
    return Normalization.chosen(config.parity.normalization)


def _last_layer(config: CRFConfig, normalization: Normalization) -> dict[str, Any] | None:
    """The description of a CRF that is trained as the network's last layer, or None."""
    if not isinstance(config, DenseCRFConfig) or not config.trainable:
        return None
    if config.certainty is not None or config.image != "rgb" or config.channels is not None:
        raise UserError(
            "crf.trainable=true learns from probabilities and the RGB image: type crf.certainty=null crf.image=rgb "
            "crf.channels=null, or leave crf.trainable out."
        )
    others = ("name", "engine", "prune_threshold", "trainable", "certainty", "image", "channels")
    return {
        **{name: value for name, value in vars(config).items() if name not in others},
        "input": {name: value for name, value in asdict(normalization).items() if name != "bits"},
    }


def _check_of_rgb(config: TrainConfig) -> None:
    """Raise UserError if the images are no RGB bytes and a part of the training compares colours in bytes."""
    pixels = PixelFormat.chosen(config.data.get("channels", 3), config.data.get("bits", 8))
    trained = isinstance(config.crf, DenseCRFConfig) and config.crf.trainable
    for wanted, key in ((trained, "crf.trainable=false"), (config.loss.dense_energy, "loss.dense_energy=0")):
        if wanted and pixels != RGB:
            raise UserError(f"the data set has {pixels}, and this compares RGB bytes: type {key}.")


def _check_loggers(config: LoggerConfig) -> None:
    if config.tensorboard is not None and importlib.util.find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard needs a package: pip install 'deeplab_lit[tensorboard]', or logger=csv.")


def _check_choices(config: TrainConfig) -> None:
    for name, value, allowed in (
        ("loss.resolution", config.loss.resolution, get_args(Resolution)),
        ("loss.msc", config.loss.msc, get_args(MscLoss)),
        ("atrous", config.atrous, get_args(Realisation)),
        ("compile", config.compile, get_args(Compiled)),
        ("on_nan", config.on_nan, get_args(OnNan)),
        ("sampling", config.sampling, ("uniform", "rare_classes")),
        ("parity.crf_normalization", config.parity.crf_normalization, get_args(CRFNormalization)),
    ):
        if value not in allowed:
            raise UserError(f"{name}={value!r} is not known: choose one of {', '.join(allowed)}.")
    if config.compile == "network" and config.scales.recompute:
        raise UserError("compile=network cannot compute scales twice: type compile=loss, or scales.recompute=false.")

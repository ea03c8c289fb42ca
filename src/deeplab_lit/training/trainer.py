"""The trainer of a config: Lightning's ``Trainer`` with its arguments resolved for this machine."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from deeplab_lit.config.recipes import without_recipe
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.checkpoints import WholeFileCheckpoint
from deeplab_lit.training.lightning_private import leave_signals_alone
from deeplab_lit.training.synchronised_norms import SynchronisedNorms
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.utils.hardware import resolve_precision
from deeplab_lit.utils.slurm import tasks_per_node

# the name of the argument changed between the versions of PyTorch
_BROADCAST = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)
_NOT_OF_THE_TRAINER = {
    "max_steps": "max_steps=NUMBER",
    "val_check_interval": "val_every=STEPS",
    "check_val_every_n_epoch": "val_every=STEPS",
    "fast_dev_run": "max_steps=1",
    "logger": "logger=csv or another choice",
    "default_root_dir": "output=FOLDER",
    "callbacks": "a training of your own in Python",
}
"""Arguments of ``lightning.Trainer`` that follow from keys of the config, and what to type for each."""


def trainer_arguments(config: TrainConfig) -> dict[str, Any]:
    """Arguments of ``lightning.Trainer``, with ``auto`` resolved for this machine.

    Raises:
        UserError: an argument that ``lightning.Trainer`` does not have, or that another key sets; or a GPU where
            PyTorch sees none.
    """
    arguments = without_recipe(config.trainer)
    known = [name for name in inspect.signature(L.Trainer).parameters if name != "self"]
    for name in arguments:
        if name not in known:
            raise UserError(f"trainer.{name} is not known to lightning.Trainer.{closest(name, known)}")
    if arguments.get("limit_train_batches") not in (None, 1.0):
        raise UserError(
            f"trainer.limit_train_batches={arguments['limit_train_batches']} would show the same images again and "
            "again: max_steps=NUMBER ends a training sooner."
        )
    for name, instead in _NOT_OF_THE_TRAINER.items():
        if name in arguments:
            raise UserError(f"trainer.{name} is not set here: type {instead} instead.")
    if arguments.get("limit_val_batches") == 0:
        raise UserError("trainer.limit_val_batches=0 leaves nothing to score: it is above 0.")
    wanted = arguments.get("accelerator")
    if wanted in ("gpu", "cuda") and not torch.cuda.is_available() and not torch.backends.mps.is_available():
        raise UserError(
            f"trainer.accelerator={wanted}, but PyTorch sees no GPU here: type trainer.accelerator=cpu, or trainer="
            "default, which takes what there is, or install the build of PyTorch for this machine's GPU."
        )
    cuda = torch.cuda.is_available() and wanted not in ("cpu", "mps")
    if arguments.get("sync_batchnorm") == "auto":
        arguments["sync_batchnorm"] = cuda
    arguments["precision"] = resolve_precision(str(arguments.get("precision", "auto")), wanted)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun
        world, here = (int(os.environ[name]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if str(arguments.get("devices", "auto")) not in ("auto", "-1", str(here)):
            raise UserError(f"trainer.devices={arguments['devices']}, but torchrun started {here}: leave it out.")
        if arguments.get("strategy", "auto") != "auto":
            arguments.update(devices=here, num_nodes=world // here)
    if cuda:  # training crops have one size, for which cuDNN then measures which of its algorithms is the fastest
        arguments.setdefault("benchmark", True)
    return arguments


def build_trainer(
    config: TrainConfig, arguments: dict[str, Any], *, broadcast_buffers: bool = True, **more: Any
) -> L.Trainer:
    """The trainer of a config.

    Args:
        config: of the training.
        arguments: from :func:`trainer_arguments`.
        broadcast_buffers: whether each forward pass of ``strategy=ddp`` gives the buffers of the first process to all,
            which networks need whose batch normalisation updates statistics in each process for itself.
        more: further arguments of ``lightning.Trainer``, which override those of the config.

    Raises:
        UserError: ``lightning.Trainer`` refuses them.
    """
    plugins = [WholeFileCheckpoint(), *(arguments.get("plugins") or [])]
    if arguments.get("sync_batchnorm"):
        plugins.append(SynchronisedNorms())
    fixed: dict[str, Any] = {
        "max_steps": config.max_steps,
        "max_epochs": -1,
        "val_check_interval": config.val_every * int(arguments.get("accumulate_grad_batches", 1)),
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "enable_model_summary": False,
        "enable_progress_bar": sys.stdout.isatty(),
    }
    given = {name: value for name, value in arguments.items() if name not in ("plugins", "sync_batchnorm")}
    if given.get("strategy") == "ddp":
        given["strategy"] = DDPStrategy(gradient_as_bucket_view=True, **{_BROADCAST: broadcast_buffers})  # type: ignore[arg-type]
    try:
        if int(os.environ.get("SLURM_NTASKS", 1)) > 1:
            if "strategy" in given and "SLURM_STEP_NUM_TASKS" not in os.environ:
                raise UserError(
                    f"this SLURM job has {os.environ['SLURM_NTASKS']} tasks, and srun did not start this process, "
                    "which would wait for the others: type srun before python."
                )
            # Lightning wants the variable, which only srun --ntasks-per-node sets
            os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(tasks_per_node()))
        if SLURMEnvironment.detect():
            # SaveFirst requeues the job, with a checkpoint that resume=auto finds
            plugins.append(SLURMEnvironment(auto_requeue=False))
        trainer = L.Trainer(**{**fixed, **given, **more, "plugins": plugins})
        leave_signals_alone(trainer)
        return trainer
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"SLURM's variable {error} is not set: type srun before python.") from error
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        raise UserError(f"trainer={arguments} is refused by lightning.Trainer: {error}") from error

"""Lightning's private parts that are used here, in one file: tested with lightning 2.6.4 to 2.6.6.

pyproject.toml admits no later minor version, and tests/training/test_lightning_private.py fails beside one that it was
not run with.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar, WeightAveraging
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop

from deeplab_lit.training.callbacks import Pictures


def log_this_step(trainer: L.Trainer) -> None:
    """Send the metrics of the current step to the loggers, which Lightning itself does after the step's hooks."""
    trainer._logger_connector.update_train_step_metrics()


def number_rows_by_steps(trainer: L.Trainer) -> None:
    """Before a step, have loggers get its number: Lightning counts one too many after a finished run was resumed."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def validate_now(trainer: L.Trainer) -> None:
    """Run a validation that is due before the next training step, inside ``fit``."""
    loop = _validation_loop(trainer)
    loop.restarting = False
    trainer.validating = True
    loop.run()
    trainer.training = True


def leave_signals_alone(trainer: L.Trainer) -> None:
    """Stop Lightning from handling signals, which :class:`SaveFirst` does.

    Lightning would end the process with status 0 at a SIGTERM outside the steps, and ask all processes for a SIGTERM in
    each step.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def forget_validation_progress(trainer: L.Trainer) -> None:
    """Reset the progress of a validation, so that a checkpoint saved during it begins that validation anew."""
    _validation_loop(trainer).batch_progress.reset()


def _validation_loop(trainer: L.Trainer) -> _EvaluationLoop:
    return trainer.fit_loop.epoch_loop.val_loop


class MovingAverage(WeightAveraging):
    """An exponential moving average of the weights.

    Validation uses the average. Checkpoints hold the average and the weights.

    Args:
        decay: of the average in each step. After n steps the decay is at most (1 + n) / (10 + n), so that the average
            soon forgets the first weights.
    """

    comes_after = (Pictures,)  # Pictures uses the averaged network at the end of a validation

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self._shown = False  # whether the network holds the average, swapped with its own weights

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning copies the network before it moves it to its device; the counter stays where the host reads it
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > self._latest_update_step:
            self._update(pl_module)
            self._latest_update_step = trainer.global_step

    @torch.no_grad()
    def _update(self, network: L.LightningModule) -> None:
        """Lightning's own update makes the host wait for the device several times in each step."""
        assert self._average_model is not None
        done = int(self._average_model.n_averaged)
        share = 1 - min(self._decay, (1 + done) / (10 + done)) if done else 1.0
        averaged, current = (
            [*module.parameters(), *module.buffers()] for module in (self._average_model.module, network)
        )
        floats = [pair for pair in zip(averaged, current, strict=True) if pair[0].is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in floats], [theirs for _, theirs in floats], share)
        for mine, theirs in zip(averaged, current, strict=True):
            if not mine.is_floating_point():  # counters
                mine.copy_(theirs)
        self._average_model.n_averaged += 1

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit":  # after fit, the network already holds the weights to score
            super().on_validation_epoch_start(trainer, pl_module)
            self._shown = True

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit":
            super().on_validation_epoch_end(trainer, pl_module)
            self._shown = False

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert self._average_model is not None
        self._swap_models(pl_module)
        self._shown = True

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._shown:  # the training has ended, or is stopped in the middle of a validation
            own = checkpoint["state_dict"]
            checkpoint["state_dict"], checkpoint["current_model_state"] = checkpoint["current_model_state"], own


class TrainingBar(RichProgressBar):
    """A progress bar of the whole training: finished steps, elapsed and remaining time, loss and mIoU."""

    _items: dict[str, Any] | None = None

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        every = trainer.log_every_n_steps or 1  # type: ignore[attr-defined]
        # reading the values of other steps, which have not changed, would make the host wait for the device
        if not trainer.training or trainer.global_step % every == 0 or self._items is None:
            self._items = super().get_metrics(trainer, pl_module)
            self._items.pop("v_num", None)
        return self._items

"""Progress lines of a training that is not on a terminal."""

import logging
from types import SimpleNamespace

import torch

from deeplab_lit.training import progress_bar
from deeplab_lit.training.progress_bar import ProgressLines


def test_a_slow_training_says_its_step_before_its_first_logged_loss(monkeypatch, caplog):
    """Twenty seconds may pass before the tenth step, whose loss is the first that is read from the device."""
    now, trainer = [0.0], SimpleNamespace(global_step=0, max_steps=100, callback_metrics={})
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    lines = ProgressLines()
    with caplog.at_level(logging.INFO, "deeplab_lit"):
        lines.on_train_start(trainer, None)
        now[0], trainer.global_step = 25.0, 3
        lines.on_train_batch_end(trainer)
        now[0], trainer.global_step, trainer.callback_metrics = 50.0, 12, {"train/loss": torch.tensor(1.5)}
        lines.on_train_batch_end(trainer)
    assert [each.getMessage().split("  ")[:2] for each in caplog.records] == [
        ["step 3/100", "0:25 gone"],
        ["step 12/100", "loss 1.500"],
    ]

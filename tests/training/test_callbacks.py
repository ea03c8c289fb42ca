"""What happens beside the training."""

from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from deeplab_lit.training.lightning_private import MovingAverage
from deeplab_lit.training.progress_bar import progress_callback

DECAY = 0.3  # reached after a few steps: (1 + n) / (10 + n) passes it between 2 and 3


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.layer.weight, 5.0)
        self.validated = []

    def training_step(self, batch, index):
        return (self.layer(batch) - 2 * batch).square().mean()

    def validation_step(self, batch, index):
        self.validated.append(self.layer.weight.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Weights(Callback):
    def __init__(self):
        self.after = []

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.after.append(module.layer.weight.item())


def fit(folder, steps, resume=None):
    torch.manual_seed(0)
    module, weights = Line(), Weights()
    loader = torch.utils.data.DataLoader(torch.full((8, 1), 0.7), batch_size=1)
    trainer = L.Trainer(
        max_steps=steps,
        val_check_interval=2,
        num_sanity_val_steps=0,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[weights, ModelCheckpoint(folder, filename="last"), MovingAverage(DECAY)],
    )
    trainer.fit(module, loader, loader, ckpt_path=resume, weights_only=True)
    return module, weights.after


@pytest.mark.filterwarnings("ignore")
def test_the_average_is_validated_and_kept_and_a_resume_goes_on_with_both(tmp_path):
    module, after = fit(tmp_path / "whole", 6)
    expected, averages = after[0], []
    for number, weight in enumerate(after):
        if number:
            decay = min(DECAY, (1 + number) / (10 + number))
            expected = decay * expected + (1 - decay) * weight
        averages.append(expected)
    seen = sorted(set(module.validated), reverse=True)
    assert seen == pytest.approx(averages[1::2]) and averages[1::2] != pytest.approx(after[1::2])
    content = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)
    assert content["state_dict"]["layer.weight"].item() == pytest.approx(averages[-1])
    fit(tmp_path / "half", 4)
    resumed, _ = fit(tmp_path / "rest", 6, resume=tmp_path / "half" / "last.ckpt")
    assert resumed.layer.weight.item() == module.layer.weight.item() == pytest.approx(averages[-1])


def test_the_time_left_is_told_without_the_slow_first_steps(monkeypatch, caplog):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    trainer = SimpleNamespace(global_step=0, max_steps=1000, callback_metrics={"train/loss": 0.5})
    lines = progress_callback()
    lines.on_train_start(trainer, None)
    with caplog.at_level("INFO", "deeplab_lit"):
        for step in range(1, 31):
            now += 100 if step == 1 else 1  # kernels are compiled in the first
            trainer.global_step = step
            lines.on_train_batch_end(trainer)
    first, second = caplog.messages
    assert first.startswith("step 1/1000") and first.endswith("1:40 gone")
    assert second.startswith("step 22/1000") and second.endswith("2:01 gone, 16:18 left")  # 978 steps of a second

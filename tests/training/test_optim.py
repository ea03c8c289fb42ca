import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from deeplab_lit.config.schemas import AdamWConfig, PolyConfig, SGDConfig, StepConfig
from deeplab_lit.models.backbones import VGG16, ResNet
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.heads import ASPP
from deeplab_lit.training.optim import (
    Poly,
    Step,
    build_optimizer,
    build_schedule,
    parameter_groups,
    take_memory_format,
    train_only_new,
)
from deeplab_lit.utils.errors import UserError


def net(trunk=None, **head):
    trunk = trunk or ResNet(18)
    return DeepLab(trunk, ASPP(trunk.channels, 3, rates=[1, 2], **head))


def test_published_multipliers():
    groups = {group["name"]: group for group in parameter_groups(net(), SGDConfig(lr=1.0))}
    assert {name: (g["lr"], g["weight_decay"]) for name, g in groups.items()} == {
        "base_weight": (1.0, 5e-4),
        "base_norm": (1.0, 0.0),
        "base_bias": (2.0, 0.0),
        "new_weight": (10.0, 5e-4),
        "new_bias": (20.0, 0.0),
    }


def test_every_trained_parameter_is_in_one_group_and_only_fc8_is_new_on_vgg():
    network = net(VGG16(), hidden=8)
    groups = parameter_groups(network, SGDConfig())
    members = [id(p) for group in groups for p in group["params"]]
    assert len(members) == len(set(members)) == len(list(network.parameters()))
    new = next(group for group in groups if group["name"] == "new_weight")
    assert [tuple(p.shape) for p in new["params"]] == [(3, 8, 1, 1)] * 2


def test_frozen_norm_is_not_trained():
    groups = parameter_groups(net(ResNet(18, frozen_norm=True)), AdamWConfig())
    assert "base_norm" not in {group["name"] for group in groups}


def test_nothing_to_train_is_said():
    network = net()
    network.requires_grad_(False)
    with pytest.raises(UserError, match="nothing to train"):
        build_optimizer(network, SGDConfig())


@given(step=st.integers(0, 50_000), max_steps=st.integers(1, 30_000))
def test_poly_is_the_formula_and_never_leaves_the_reals(step, max_steps):
    factor = Poly(max_steps)(step)
    assert isinstance(factor, float) or factor == 0
    assert factor == pytest.approx((1 - step / max_steps) ** 0.9 if step < max_steps else 0.0)


def test_step_policy():
    policy = Step(every=2000, factor=0.1)
    assert [policy(step) for step in (0, 1999)] == [1, 1]
    assert [policy(step) for step in (2000, 5999)] == pytest.approx([0.1, 0.01])


def test_warmup_rises_to_the_policy():
    assert [Step(warmup=4)(step) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


class Recorder(L.LightningModule):
    """Trains one number and keeps the learning rate of every optimiser step."""

    def __init__(self, schedule, max_steps):
        super().__init__()
        self.layer, self.schedule, self.max_steps, self.rates = torch.nn.Linear(1, 1), schedule, max_steps, []

    def training_step(self, batch, _):
        return self.layer(batch).sum()

    def optimizer_step(self, epoch, index, optimizer, closure):
        super().optimizer_step(epoch, index, optimizer, closure)
        self.rates.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        schedule = build_schedule(optimizer, self.schedule, self.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.mark.parametrize("schedule", [PolyConfig(), StepConfig(every=3)])
def test_policies_step_with_the_optimiser_under_accumulation_and_after_a_resume(schedule, tmp_path):
    loader = DataLoader(torch.ones(100, 1), batch_size=1)
    options = dict(accumulate_grad_batches=4, logger=False, enable_progress_bar=False, enable_model_summary=False)
    options |= dict(accelerator="cpu", enable_checkpointing=False, default_root_dir=tmp_path)
    whole = Recorder(schedule, 10)
    L.Trainer(max_steps=10, **options).fit(whole, loader)
    if isinstance(schedule, PolyConfig):
        expected = [(1 - i / 10) ** 0.9 for i in range(10)]
    else:
        expected = [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]
    assert whole.rates == pytest.approx(expected)
    first, second = Recorder(schedule, 10), Recorder(schedule, 10)
    trainer = L.Trainer(max_steps=6, **options)
    trainer.fit(first, loader)
    trainer.save_checkpoint(tmp_path / "at6.ckpt")
    L.Trainer(max_steps=10, **options).fit(second, loader, ckpt_path=tmp_path / "at6.ckpt", weights_only=True)
    assert first.rates + second.rates == pytest.approx(expected)


def test_training_the_new_layers_alone():
    network = net()
    train_only_new(network)
    groups = parameter_groups(network, SGDConfig())
    assert {group["name"] for group in groups} == {"new_weight", "new_bias"}


@pytest.mark.parametrize("config", [SGDConfig(lr=0.1), AdamWConfig(lr=0.1)])
def test_a_state_of_another_memory_format_is_converted(config):
    """Fused optimisers walk through memory: float32's momentum was garbled where bf16 went on, channels last."""
    ends = []
    for formats in ((torch.contiguous_format,) * 2, (torch.contiguous_format, torch.channels_last)):
        torch.manual_seed(0)
        network = nn.Conv2d(3, 4, 3)
        network.new_parameters = list
        state = None
        for layout in formats:
            network.to(memory_format=layout)
            optimizer = build_optimizer(network, config, fused=True)
            if state:
                optimizer.load_state_dict(state)
                take_memory_format(optimizer)
            network.weight.grad = torch.arange(108.0).view(4, 3, 3, 3).to(memory_format=layout)
            network.bias.grad = torch.ones(4)
            optimizer.step()
            state = optimizer.state_dict()
        ends.append(network.weight.detach())
    torch.testing.assert_close(ends[0], ends[1])


@pytest.mark.parametrize("every", [1, 10, 25])
def test_poly_moves_every_so_many_steps(every):
    network = nn.Linear(2, 2)
    network.new_parameters = list
    optimizer = build_optimizer(network, SGDConfig(lr=0.5, warmup=0))
    schedule, found = build_schedule(optimizer, PolyConfig(every=every), 40), []
    for _ in range(45):
        found.append(optimizer.param_groups[1]["lr"])
        optimizer.step()
        schedule.step()
    base = found[0]
    assert found[:40] == pytest.approx([base * (1 - step // every * every / 40) ** 0.9 for step in range(40)])
    assert found[40:] == [0] * 5


def test_a_rise_moves_at_each_step():
    plain, slow = Poly(100, warmup=5), Poly(100, warmup=5, every=10)
    assert [slow(step) for step in range(5)] == pytest.approx([(step + 1) / 5 for step in range(5)])
    assert slow(10) == plain(10) == slow(19) > plain(19)

"""Trainings of benchmarks/gpu.py, through the library's own trainer and segmenter, and what they must get right."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hydra
import lightning as L
import torch
from common import table
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from deeplab_lit.config.compose import typed
from deeplab_lit.config.hydra_store import register_schemas
from deeplab_lit.config.paths import conf_folder, package_folder
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import IMAGENET, NormalizeBytes
from deeplab_lit.inference.predictor import PRECISIONS
from deeplab_lit.models.network import Network, build_network
from deeplab_lit.training.build import build_segmenter
from deeplab_lit.training.plan import network_spec
from deeplab_lit.training.segmenter import Segmenter
from deeplab_lit.training.trainer import build_trainer, trainer_arguments
from deeplab_lit.utils.hardware import resolve_precision, set_tf32

CLASSES = 21
Batch = dict[str, Any]


@dataclass
class Place:
    """Where the benchmark runs, how much of it, and what its sections tell later ones.

    Attributes:
        device: of the trainings.
        quick: the least that shows that it works.
        found: numbers by what they are, such as the ratios of trainings.
    """

    device: torch.device
    quick: bool
    found: dict[str, list[float]] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return 50 if self.quick else 101

    @property
    def half(self) -> torch.dtype | None:
        """The type of autocast that trainings take here by themselves; None: float32."""
        return PRECISIONS[resolve_precision("auto", self.device.type)]

    def tell(self, what: str, number: float) -> None:
        self.found.setdefault(what, []).append(number)

    def config(self, crop: int, *overrides: str) -> TrainConfig:
        """The paper's recipe of ResNet-101 and ASPP-L, with fixed batch normalisation as pretrained trunks have it.

        The learning rate is 0, so that random weights stay as they are.
        """
        register_schemas()
        accelerator = "gpu" if self.device.type == "cuda" else "cpu"
        recipe = [
            "name=gpu", f"backbone=resnet{self.depth}", "model=aspp_l", "model.rate_scale=1.0", "parity=caffe",
            "backbone.frozen_norm=true", "optimizer=sgd", "optimizer.lr=0", "logger=csv", f"crop_size={crop}",
            f"trainer.accelerator={accelerator}", "trainer.log_every_n_steps=1000000",
        ]  # fmt: skip
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            return typed(hydra.compose("train", overrides=[*recipe, *overrides]))


def network_of(config: TrainConfig) -> Network:
    """The network of a config, with random weights whose features stay of moderate size."""
    torch.manual_seed(0)
    return calm(build_network(network_spec(config), CLASSES))  # type: ignore[return-value]


def calm(network: torch.nn.Module) -> torch.nn.Module:
    """Let each block of a ResNet add little; with fixed statistics the features of random weights double otherwise."""
    for layer in network.modules():
        if hasattr(layer, "bn3"):
            torch.nn.init.constant_(layer.bn3.weight, 0.2)
    return network


def segmenter_of(config: TrainConfig, network: Network) -> Segmenter:
    labels = LabelSet(tuple(f"class {number}" for number in range(CLASSES)))
    return build_segmenter(config, network, labels, trainer_arguments(config)["precision"])


def random_batch(images: int, side: int) -> Batch:
    """Bytes as loaders give them; a tenth of the pixels are void."""
    draw = torch.Generator().manual_seed(0)
    mask = torch.randint(0, CLASSES, (images, side, side), dtype=torch.uint8, generator=draw)
    mask[torch.rand(mask.shape, generator=draw) < 0.1] = 255
    image = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8, generator=draw)
    return {"image": image, "mask": mask, "id": ["random"] * images}


def fit(
    config: TrainConfig, segmenter: Segmenter, batch: Batch, steps: int, callbacks: Sequence[Callback]
) -> L.Trainer:
    """Train for some steps on one batch, which is pinned as loaders pin theirs."""
    if config.trainer["accelerator"] == "gpu":
        batch = {name: each.pin_memory() if isinstance(each, Tensor) else each for name, each in batch.items()}
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    more: dict[str, Any] = {"max_steps": steps, "limit_val_batches": 0, "callbacks": list(callbacks)}
    trainer = build_trainer(config, trainer_arguments(config), **dict.fromkeys(quiet, False), **more)
    trainer.fit(segmenter, DataLoader([batch] * steps, batch_size=None))  # type: ignore[arg-type]
    return trainer


class Inside(Callback):
    """Keeps a context open from the start of the step ``first`` to the end of the step ``last``."""

    def __init__(self, context: AbstractContextManager[Any], first: int, last: int) -> None:
        self._context, self._first, self._last, self._open = context, first, last, False

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
        if index == self._first:
            self._context.__enter__()
            self._open = True

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if index == self._last:
            self._leave()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._open:
            self._open = False
            self._context.__exit__(None, None, None)


# --- the same numbers ---


class OneStep(Callback):
    """Keeps loss and gradients of the last step."""

    loss = float("nan")

    def __init__(self) -> None:
        self.gradients: dict[str, Tensor] = {}

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Any) -> None:
        named = module.network.named_parameters()  # type: ignore[union-attr, operator]
        self.gradients = {name: each.grad.detach().float().cpu() for name, each in named if each.grad is not None}

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.loss = float(outputs["loss"])


def agreement(place: Place) -> None:
    """Logits, losses and gradients on the device beside those of the CPU in float32, for the same weights and batch."""
    set_tf32(False)
    try:
        rows = [row for loss in ("map", "full") for row in _agreement_of(place, loss)]
    finally:
        set_tf32(True)
    table(["multi-scale inputs; loss at", "on", "loss", "logits", "gradients", "worst parameter's gradient"], rows)
    print("Each difference is the largest one over the largest value, from those of the CPU in float32; no TF32.")


def _agreement_of(place: Place, loss: str) -> Iterator[list[object]]:
    crop = 33 if place.quick else 161
    config = place.config(
        crop, "scales=msc", f"loss.resolution={loss}", "tf32=false", "on_nan=skip", "trainer.precision=32-true"
    )
    network, batch = network_of(config), random_batch(2, crop)
    cpu = Place(torch.device("cpu"), place.quick)
    expected, _ = _one_step(cpu.config(crop, "scales=msc", f"loss.resolution={loss}", "trainer.precision=32-true"),
                            network, batch, 1)  # fmt: skip
    scores = _logits(network, batch, cpu.device, None)
    yield [loss, "CPU, 32-true", expected.loss, "", "", ""]
    for precision, steps in (("32-true", 1), ("bf16-mixed", 1), ("16-mixed", 6)):  # a scaler finds its scale in some
        config.trainer["precision"] = precision
        found, taken = _one_step(config, network, batch, steps)
        apart = {name: _apart(found.gradients[name], each) for name, each in expected.gradients.items()}
        worst = max(apart, key=lambda name: apart[name])
        whole = [torch.cat([each.flatten() for each in one.gradients.values()]) for one in (found, expected)]
        logits = _apart(_logits(network, batch, place.device, PRECISIONS[taken]), scores)
        yield [loss, f"{place.device.type.upper()}, {taken}", found.loss, logits, _apart(*whole),
               f"{apart[worst]:.3g} ({worst})"]  # fmt: skip


def _one_step(config: TrainConfig, network: Network, batch: Batch, steps: int) -> tuple[OneStep, str]:
    """The last of some steps with rate 0, and the precision that the trainer took."""
    step = OneStep()
    trainer = fit(config, segmenter_of(config, copy.deepcopy(network)), batch, steps, [step])
    return step, str(trainer.precision)


def _logits(network: Network, batch: Batch, device: torch.device, half: torch.dtype | None) -> Tensor:
    image = NormalizeBytes(IMAGENET)(batch["image"]).to(device)
    moved = copy.deepcopy(network).to(device).eval()
    with torch.no_grad(), torch.autocast(device.type, half, enabled=half is not None):
        return moved(image).float().cpu()


def _apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


# --- no waits ---

_READS = ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::is_nonzero")
_COPIES = ("aten::lift_fresh", "aten::scalar_tensor")  # a tensor made from Python's values


class Operations(TorchDispatchMode):
    """Notes what PyTorch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.launched = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function._schema.name)
        self.launched += not (getattr(function, "is_view", False) or "aten::empty" in self.names[-1])
        return function(*args, **(kwargs or {}))


def waits(place: Place) -> None:
    """What the host waits for in a step that logs nothing, and how many operations it gives the device."""
    # a CPU has a loss of its own, whose result numpy reads: here it takes that of GPUs
    with patch("deeplab_lit.training.losses.is_upsampled_loss_fast", lambda *_: False):
        rows = [_waits_of(place, scales, loss) for scales in ("single", "msc") for loss in ("map", "full")]
    table(["inputs", "loss at", "the host waits for", "operations launched a step"], rows)
    how = "PyTorch reports the first wait as an error" if place.device.type == "cuda" else "counted on the CPU"
    print(f"Steps after the first two, {how}. Views and empty tensors are no operations.")


def _waits_of(place: Place, scales: str, loss: str) -> list[object]:
    crop, first, steps = (65, 2, 4) if place.quick else (321, 2, 12)
    config = place.config(crop, f"scales={scales}", f"loss.resolution={loss}")
    segmenter, batch = segmenter_of(config, network_of(config)), random_batch(2, crop)
    operations = Operations()
    fit(config, segmenter, batch, first + 2, [Inside(operations, first, first)])
    found = _read(operations.names)
    if place.device.type == "cuda":
        found = _error(lambda: fit(config, segmenter, batch, steps, [Inside(_waits_are_errors(), first, steps - 2)]))
    return [scales, loss, found, operations.launched]


def _read(names: Sequence[str]) -> str:
    return ", ".join(sorted({name for name in names if name in _READS + _COPIES})) or "none"


@contextmanager
def _waits_are_errors() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _error(work: Callable[[], object]) -> str:
    """The first wait in some work, with the library's line that it comes from."""
    try:
        work()
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [each for each in frames if Path(each.filename).is_relative_to(package_folder())] or list(frames)
        return f"{str(error).splitlines()[0]} ({Path(own[-1].filename).name}, line {own[-1].lineno})"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"

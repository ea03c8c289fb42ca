"""A preview of trainings: their parameters, operations, memory and time on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from torch.utils.data import DataLoader

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.models.network import build_network
from deeplab_lit.training.build import build_segmenter
from deeplab_lit.training.log import quiet_libraries
from deeplab_lit.training.plan import network_spec
from deeplab_lit.training.step_batch import processes_told, share
from deeplab_lit.training.summary import as_bytes, costs, number_of_classes
from deeplab_lit.training.trainer import build_trainer, trainer_arguments
from deeplab_lit.utils.terminal import paragraph, table

_MEASURED = 2  # timed steps, after one warm-up step


@dataclass
class Planned:
    """A planned training.

    Attributes:
        name: of the row.
        config: of the training.
        trains: False where the training is finished already, or an earlier row has the same training.
    """

    name: str
    config: TrainConfig
    trains: bool


def preview(planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """Print and return the costs of each training; the printed table also has the sum of all times.

    Parameters, operations and memory are computed from tensor shapes. Seconds are measured over a few steps of each
    distinct network on random images. They do not include reading, validation and the CRF.

    Returns:
        Of each training: ``row``, ``params``, ``flops`` of an optimiser step, ``memory`` in bytes,
        ``seconds_per_step``, ``steps`` (0 where nothing is trained), and ``processes``.
    """
    quiet_libraries()
    measured: dict[str, tuple[dict[str, Any], float]] = {}
    found = []
    for each in planned:
        config = each.config
        spec = network_spec(config)
        classes = number_of_classes(config)
        batch = share(config, processes_told(config.trainer))
        sizes = [batch.each, config.crop_size, classes, batch.accumulated]
        mark = json.dumps([spec, sizes, asdict(config.loss), config.optimizer.name], sort_keys=True)
        if mark not in measured:
            with Console().status(f"measuring {_MEASURED + 1} steps of {each.name}"):  # shown on a terminal only
                measured[mark] = costs(config), seconds_per_step(config, spec, classes, batch.each)
        cost, seconds = measured[mark]
        found.append(
            {
                "row": each.name,
                "params": cost["params"],
                "flops": 3 * cost["flops"] * batch.total,  # a backward pass costs about two forward ones
                "memory": cost["memory"]["total"],
                "seconds_per_step": seconds,
                "steps": config.max_steps if each.trains else 0,
                "processes": batch.processes,
            }
        )
    _show(found)
    return found


def seconds_per_step(config: TrainConfig, spec: dict[str, Any], classes: int, images: int) -> float:
    """The mean seconds of an optimiser step of one process on this machine, measured on so many random images."""
    labels = LabelSet(tuple(f"class {number}" for number in range(classes)))
    arguments = {**trainer_arguments(config), "devices": 1, "num_nodes": 1, "strategy": "auto"}
    # lr 0: with the config's rate, the loss of random weights may become NaN
    config = replace(config, optimizer=replace(config.optimizer, lr=0.0))
    network, grey = build_network(spec, classes), [127.5] * spec["channels"]
    normalization = Normalization.of(grey, grey, bgr=False)
    segmenter = build_segmenter(config, network, labels, arguments["precision"], normalization=normalization)
    side = config.crop_size
    batch = {
        "image": torch.randint(0, 256, (images, spec["channels"], side, side), dtype=torch.uint8),
        "mask": torch.randint(0, classes, (images, side, side), dtype=torch.uint8),
        "id": ["random"] * images,
    }
    steps = 1 + _MEASURED
    batches = [batch] * (steps * int(arguments.get("accumulate_grad_batches", 1)))
    clock = _Clock()
    only_steps: dict[str, Any] = {"max_steps": steps, "limit_val_batches": 0, "callbacks": [clock]}
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = build_trainer(config, arguments, **dict.fromkeys(quiet, False), **only_steps)
    trainer.fit(segmenter, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return (clock.ends[-1] - clock.ends[0]) / _MEASURED


class _Clock(Callback):
    """Records when each optimiser step ended, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step > len(self.ends):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.monotonic())


def _show(found: Sequence[dict[str, Any]]) -> None:
    lines, total = [], 0.0
    for each in found:
        spent = each["seconds_per_step"] * each["steps"]
        total += spent
        lines.append([
            each["row"], f"{each['params'] / 1e6:.2f} M", f"{each['flops'] / 1e12:.3f} T", as_bytes(each["memory"]),
            f"{each['seconds_per_step']:.3f} s", str(each["steps"]), _duration(spent),
        ])  # fmt: skip
    if len(found) > 1:
        lines.append(["all", "", "", "", "", str(sum(each["steps"] for each in found)), _duration(total)])
    print(table(("row", "parameters", "operations a step", "memory", "a step", "steps", "time"), lines, ()))
    notes = [
        "Memory is that of float32, without the room that convolutions need besides.",
        "Time is measured here on random images: reading, validation and the CRF come on top.",
    ]
    if any(not each["steps"] for each in found):
        notes.insert(0, "0 steps: done already, or trained by another row.")
    if any(each["processes"] > 1 for each in found):
        notes.append("Of several processes, memory and time are those of one, without the exchange of gradients.")
    print(paragraph(" ".join(notes)))


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"

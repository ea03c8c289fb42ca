"""Two processes beside one in benchmarks/gpu.py: whole trainings on the embedded data, by the command.

Two cards train over NCCL, as ``trainer=ddp`` has it. NCCL refuses two processes on one card, so there, as on a CPU,
they are started as two machines of one device each, and exchange over gloo. This file is then the command: it names
that strategy to Lightning and trains.
"""

from __future__ import annotations

import csv
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import table
from gpu_training import Place

_BY_GLOO = "ddp_by_gloo"
_LONGEST = 200  # seconds of a training


def processes(place: Place) -> None:
    """Losses and weights of two processes beside those of one with the same images a step, and images a second."""
    steps = 4 if place.quick else 40
    cuda = place.device.type == "cuda"
    accelerator = "gpu" if cuda else "cpu"
    words = [
        "data=shapes", "data.train_images=24", "data.val_images=4", "backbone=resnet18", "backbone.frozen_norm=true",
        "scales=msc", "augment=crop_flip", "optimizer=sgd", "optimizer.lr=1e-5", "global_batch_size=4", "logger=csv",
        f"crop_size={49 if place.quick else 97}", f"max_steps={steps}", f"val_every={steps}", "num_workers=1",
        "trainer.precision=32-true", "tf32=false", "trainer.log_every_n_steps=1", f"trainer.accelerator={accelerator}",
        "pictures=0",
    ]  # fmt: skip
    cards = cuda and torch.cuda.device_count() > 1
    how = "one card each, NCCL" if cards else f"sharing one {'card' if cuda else 'CPU'}, gloo"
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / name for name in ("one", "two")]
        for run in runs:
            run.mkdir()
        train = [sys.executable, "-m", "deeplab_lit.train", *words]
        _run(runs[0], train, [{}])
        if cards:
            _run(runs[1], [*train, "trainer=ddp", "trainer.devices=2"], [{}])
        else:
            _run_sharing(runs[1], words)
        one, both = (_Trained(run) for run in runs)
    parts = ("losses", "weights", "momentum")
    apart = [_apart(getattr(both, part), getattr(one, part)) for part in parts]
    rows = [["one", one.speed, 1.0, "", "", ""], [f"two, {how}", both.speed, both.speed / one.speed, *apart]]
    table(["processes", "images a second", "over one", *(f"{part} differ by" for part in parts)], rows)
    print(f"ResNet-18 with multi-scale inputs, float32, {steps} steps of 4 images, all logged. A difference is the")
    print("largest one over the largest value. Momentum holds the gradients themselves.")


def _run_sharing(folder: Path, words: list[str]) -> None:
    """Run two processes that take one device, as two machines of one process each."""
    strategy = [f"+trainer.strategy={_BY_GLOO}", "+trainer.num_nodes=2", "trainer.devices=1"]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "LOCAL_RANK": "0"}
    _run(folder, [sys.executable, __file__, *words, *strategy], [{**address, "NODE_RANK": rank} for rank in "01"])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _run(folder: Path, command: list[str], told: list[dict[str, str]]) -> None:
    """Run a command in a folder, a process for each set of variables; raise with the last lines of one that failed."""
    said = [folder / f"{number}.txt" for number in range(len(told))]
    started = []
    try:
        for file, variables in zip(said, told, strict=True):
            with file.open("w") as output:
                environment = {**os.environ, **variables}
                started.append(
                    subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
                )
        ended = [each.wait(timeout=_LONGEST) for each in started]
    finally:
        for each in started:
            each.kill()
    for status, file in zip(ended, said, strict=True):
        if status:
            raise RuntimeError(f"a training ended with status {status}: {' '.join(file.read_text().split()[-60:])}")


class _Trained:
    """What a training has left in the folder where it was started."""

    def __init__(self, folder: Path) -> None:
        (run,) = (path.parent for path in folder.glob("runs/*/*/config.yaml"))
        with (run / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["train/loss"]]
        self.losses = torch.tensor([float(row["train/loss"]) for row in rows])
        speeds = [float(row["train/images_per_second"]) for row in rows if row["train/images_per_second"]]
        self.speed = statistics.median(speeds[len(speeds) // 2 :])
        last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
        states = last["optimizer_states"][0]["state"].values()
        self.weights = torch.cat([each.flatten().float() for each in last["state_dict"].values()])
        self.momentum = torch.cat([state["momentum_buffer"].flatten() for state in states])


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _train() -> None:
    from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

    from deeplab_lit.train import main

    StrategyRegistry.register(
        _BY_GLOO, DDPStrategy, "over gloo", process_group_backend="gloo", gradient_as_bucket_view=True
    )
    main()


if __name__ == "__main__":
    _train()

"""The network's time against the plain eager float32 network of the same architecture, in one run.

Plain: PyTorch's convolutions as they stand, batch normalisation as layers of its own, float32, contiguous maps, and
the loss on upsampled scores. Each line adds one thing; the last but the compiled ones is what a training takes by
itself where the processor has bf16. Variants take turns, and the best of several turns counts.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from common import best_in_turns, command, parser, table
from torch import Tensor

from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, ResNet
from deeplab_lit.models.atrous import set_realisation
from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0
from deeplab_lit.models.folding import set_folding
from deeplab_lit.training.losses import segmentation_loss, summed_cross_entropy
from deeplab_lit.utils.hardware import resolve_precision

CLASSES = 21


@dataclass
class Variant:
    """How a network is computed."""

    name: str
    folding: bool = True
    own_kernels: bool = True
    half: bool = True
    compiled: str = "none"


PLAIN = Variant("plain", folding=False, own_kernels=False, half=False)
DEFAULT = Variant("and bf16, channels last" if resolve_precision("auto", "cpu") == "bf16-mixed" else "bf16, emulated")
VARIANTS = [
    PLAIN,
    Variant("normalisation in the filters", own_kernels=False, half=False),
    Variant("and own kernels (head, depthwise, loss)", half=False),
    DEFAULT,
]
COMPILED = [Variant("and compile=loss", compiled="loss"), Variant("and compile=network", compiled="network")]


def resnet101() -> DeepLab:
    return DeepLab(ResNet(101, frozen_norm=True), ASPP(2048, CLASSES))


def lite0() -> DeepLab:
    return DeepLab(EfficientNetLite0(16, frozen_norm=True, frozen_affine=False), ASPP(1280, CLASSES, rate_scale=0.5))


class Prepared:
    """A network computed in one way."""

    def __init__(self, network: DeepLab, variant: Variant) -> None:
        self.variant = variant
        self.format = torch.channels_last if variant.half else torch.contiguous_format
        self.network = copy.deepcopy(network).to(memory_format=self.format)
        set_folding(self.network, variant.folding)
        set_realisation(self.network, "auto" if variant.own_kernels else "holes")
        compiled = variant.compiled
        self._summed = torch.compile(summed_cross_entropy, dynamic=False) if compiled != "none" else None
        supervised = self.network.supervised
        self._supervised = torch.compile(supervised, dynamic=False) if compiled == "network" else supervised

    def _cast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.variant.half)

    def scores(self, image: Tensor) -> Tensor:
        self.network.eval()
        with torch.inference_mode(), self._cast():
            return self.network.scores(image.contiguous(memory_format=self.format))

    def step(self, image: Tensor, mask: Tensor) -> None:
        self.network.train()
        self.network.zero_grad()
        with self._cast():
            maps = self._supervised(image.contiguous(memory_format=self.format))
            if not self.variant.own_kernels:
                scores = F.interpolate(maps[0], mask.shape[-2:], mode="bilinear", align_corners=True)
                loss = F.cross_entropy(scores, mask, ignore_index=255)
            else:
                loss = segmentation_loss(maps, mask, "full", True, summed=self._summed)
        loss.backward()


def compare(title: str, network: DeepLab, batch: int, variants: list[Variant], runs: int) -> None:
    torch.manual_seed(0)
    prepared = {variant.name: Prepared(network, variant) for variant in variants}
    image = torch.randn(1, 3, 513, 513)
    forward = {
        name: lambda each=each: each.scores(image)  # type: ignore[misc]
        for name, each in prepared.items()
        if each.variant.compiled == "none"
    }
    labels = [prepared[variant.name].scores(image).argmax(1) for variant in (PLAIN, DEFAULT)]
    forwards = best_in_turns(forward, runs)
    crop, mask = torch.randn(batch, 3, 321, 321), torch.randint(0, CLASSES, (batch, 321, 321))
    steps = best_in_turns({name: lambda each=each: each.step(crop, mask) for name, each in prepared.items()}, runs)  # type: ignore[misc]
    rows: list[list[object]] = []
    for name, seconds in steps.items():
        pass_ = [forwards[name], forwards[PLAIN.name] / forwards[name]] if name in forwards else ["", ""]
        rows.append([name, *pass_, seconds, steps[PLAIN.name] / seconds])
    columns = ["forward 513, seconds", "ratio", f"step 321, batch {batch}, seconds", "ratio"]
    table([title, *columns], rows)
    print(f"Labels of the default equal plain's on {(labels[0] == labels[1]).double().mean():.4f} of a random image.")


KINDS = {"one scale": None, "three scales": False, "three scales, recompute": True}


def memory() -> None:
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "100000"}  # what is freed goes back to the system at once
    rows = []
    for kind in KINDS:
        command = [sys.executable, __file__, "--memory-of", kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        rows.append([kind, int(done.stdout)])
    table(["ResNet-18, 321 x 321, batch 4, float32", "peak MB of a step beyond the network's"], rows)


def memory_of(kind: str) -> None:
    recompute = KINDS[kind]
    plain = DeepLab(ResNet(18), ASPP(512, CLASSES)).train()
    network = plain if recompute is None else MultiScaleInput(plain, recompute=recompute)
    image, mask = torch.randn(4, 3, 321, 321), torch.randint(0, CLASSES, (4, 321, 321))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of the imports, is forgotten (Linux)
    before = peak()
    for _ in range(2):
        network.zero_grad()
        segmentation_loss(network.supervised(image), mask, "map", True).backward()
    print(peak() - before)


def peak() -> int:
    """MB of memory that this process has held at the most."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def main(arguments: list[str] | None = None) -> None:
    parsed = parser(__doc__)
    parsed.add_argument("--runs", type=int, default=4)
    parsed.add_argument("--threads", type=int, default=torch.get_num_threads())
    parsed.add_argument("--network", choices=["resnet101", "lite0", "both"], default="both")
    parsed.add_argument("--compile", action="store_true", help="also what torch.compile makes of the training step")
    parsed.add_argument("--memory", action="store_true", help="also the memory of multi-scale training")
    parsed.add_argument("--memory-of", choices=list(KINDS), help=argparse.SUPPRESS)
    options = parsed.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.memory_of:
        memory_of(options.memory_of)
        return
    if options.quick:
        options.runs, options.network = 1, "lite0"
    variants = VARIANTS + (COMPILED if options.compile else [])
    if options.network in ("resnet101", "both"):
        compare("ResNet-101 + ASPP-L at 8", resnet101(), 2, variants, options.runs)
    if options.network in ("lite0", "both"):
        batch = 1 if options.quick else 10
        compare("EfficientNet-Lite0 + ASPP-L at 16", lite0(), batch, variants, options.runs)
    if options.memory:
        memory()


if __name__ == "__main__":
    command(main)

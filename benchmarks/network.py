"""The network's time against the plain eager float32 network of the same architecture, in one run.

    python benchmarks/network.py
    python benchmarks/network.py --compile --memory        # some minutes more

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
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplab_lit.hardware import resolve_precision
from deeplab_lit.losses import segmentation_loss, summed_cross_entropy
from deeplab_lit.models import ASPP, DeepLab, MultiScaleInput, ResNet
from deeplab_lit.models.atrous import set_realisation
from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0
from deeplab_lit.models.folding import set_folding

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


def in_turns(work: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    best = dict.fromkeys(work, float("inf"))
    for each in work.values():
        each()
    for _ in range(runs):
        for name, each in work.items():
            start = time.perf_counter()
            each()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


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
    show(f"{title}, forward pass, 513 x 513", in_turns(forward, runs))
    print(f"  labels of the default equal to the plain network's on {(labels[0] == labels[1]).double().mean():.4f}")
    crop, mask = torch.randn(batch, 3, 321, 321), torch.randint(0, CLASSES, (batch, 321, 321))
    steps = {name: lambda each=each: each.step(crop, mask) for name, each in prepared.items()}  # type: ignore[misc]
    show(f"{title}, training step, 321 x 321, batch {batch}", in_turns(steps, runs))


def show(title: str, times: dict[str, float]) -> None:
    print(f"{title}: seconds, times as fast as the plain network")
    plain = times[PLAIN.name]
    for name, seconds in times.items():
        print(f"  {name:40s} {seconds:7.3f}  {plain / seconds:5.2f}", flush=True)


KINDS = {"one scale": None, "three scales": False, "three scales, recompute": True}


def memory() -> None:
    print("peak memory of two training steps beyond the network's, ResNet-18, 321 x 321, batch 4, float32")
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "100000"}  # what is freed goes back to the system at once
    for kind in KINDS:
        command = [sys.executable, __file__, "--memory-of", kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        print(f"  {kind:36s} {done.stdout.strip()} MB")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--network", choices=["resnet101", "lite0", "both"], default="both")
    parser.add_argument("--compile", action="store_true", help="also what torch.compile makes of the training step")
    parser.add_argument("--memory", action="store_true", help="also the memory of multi-scale training")
    parser.add_argument("--memory-of", choices=list(KINDS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        memory_of(options.memory_of)
        return
    variants = VARIANTS + (COMPILED if options.compile else [])
    print(f"PyTorch {torch.__version__}, {options.threads} threads")
    if options.network in ("resnet101", "both"):
        compare("ResNet-101 + ASPP-L at stride 8", resnet101(), 2, variants, options.runs)
    if options.network in ("lite0", "both"):
        compare("EfficientNet-Lite0 + ASPP-L at stride 16", lite0(), 10, variants, options.runs)
    if options.memory:
        memory()


if __name__ == "__main__":
    main()

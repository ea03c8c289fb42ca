"""The backward pass of depthwise convolutions: PyTorch's own beside this library's, on the same maps in one run.

    python benchmarks/depthwise.py

The layers are those of an EfficientNet-Lite0 at output strides 16 and 8 on crops of 321, ten at a time: both gradients
of PyTorch's convolution with holes, of the paper's other realisation where there are holes (subsample and interlace,
PyTorch's dense convolution between), and of ours, the best of several runs each; then a whole training step with
``atrous=holes``, ``atrous=interlace`` and ``atrous=auto``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplab_lit.models import ASPP, DeepLab
from deeplab_lit.models.atrous import AtrousConv2d, Realisation, set_realisation
from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0

# channels, kernel, stride, rate, side of the map
LAYERS = [
    (32, 3, 1, 1, 161), (96, 3, 2, 1, 161), (144, 3, 1, 1, 81), (144, 5, 2, 1, 81), (240, 5, 1, 1, 41),
    (240, 3, 2, 1, 41), (480, 3, 1, 1, 21), (672, 5, 1, 1, 21), (1152, 5, 1, 2, 21), (1152, 3, 1, 2, 21),
    (480, 3, 1, 2, 41), (672, 5, 1, 2, 41), (1152, 5, 1, 4, 41),
]  # fmt: skip


def best(work: Callable[[], object], runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def layers(dtype: torch.dtype, runs: int) -> None:
    print(f"{dtype}: channels, kernel, stride, rate, side; milliseconds with holes, interlaced, ours; holes over ours")
    for channels, kernel, stride, rate, side in LAYERS:
        x = torch.randn(10, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        padding = rate * (kernel // 2)
        conv = AtrousConv2d(channels, channels, kernel, stride, padding, rate, groups=channels, bias=False)
        theirs = 1e3 * best(backward(conv, "holes", x.requires_grad_()), runs)
        interlaced = f"{1e3 * best(backward(conv, 'interlace', x), runs):7.1f}" if rate > 1 else "      -"
        ours = 1e3 * best(backward(conv, "auto", x), runs)
        times = f"{theirs:7.1f} {interlaced} {ours:7.1f}   {theirs / ours:.1f}"
        print(f"  {channels:5d} {kernel} {stride} {rate} {side:4d}   {times}", flush=True)


def backward(conv: AtrousConv2d, realisation: Realisation, x: Tensor) -> Callable[[], object]:
    conv.realisation = realisation
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype is torch.bfloat16):
        y = conv(x)
    direction = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, [x, conv.weight], direction, retain_graph=True)


def steps(output_stride: int, half: bool, runs: int) -> None:
    network = DeepLab(EfficientNetLite0(output_stride, frozen_norm=True, frozen_affine=False), ASPP(1280, 21), False)
    network = network.train().to(memory_format=torch.channels_last)
    image = torch.randn(10, 3, 321, 321).contiguous(memory_format=torch.channels_last)
    mask = torch.randint(0, 21, (10, 321, 321))

    def step() -> None:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = network.scores(image)
        F.cross_entropy(scores, mask).backward()

    times = []
    for realisation in ("holes", "interlace", "auto"):
        set_realisation(network, realisation)
        times.append(best(step, runs))
    kind = "bfloat16" if half else "float32"
    seconds = ", ".join(f"{each:.2f}" for each in times)
    ratios = ", ".join(f"{each / times[-1]:.2f}" for each in times[:-1])
    print(f"  output stride {output_stride}, {kind}: {seconds} s, ratios to ours {ratios}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    runs = parser.parse_args().runs
    for dtype in (torch.float32, torch.bfloat16):
        layers(dtype, runs)
    print("a training step of EfficientNet-Lite0 with ASPP-L, crop 321, batch 10: holes, interlace, ours")
    for output_stride in (16, 8):
        for half in (False, True):
            steps(output_stride, half, max(1, runs // 2))


if __name__ == "__main__":
    main()

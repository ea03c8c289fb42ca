"""The backward pass of depthwise convolutions: PyTorch's own beside this library's, on the same maps in one run.

The layers are those of an EfficientNet-Lite0 at output strides 16 and 8 on crops of 321, ten at a time: both gradients
of PyTorch's convolution with holes, of the paper's other realisation where there are holes (subsample and interlace,
PyTorch's dense convolution between), and of ours, the best of several runs each; then a whole training step with
``atrous=holes``, ``atrous=interlace`` and ``atrous=auto``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from common import command, parser, table
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


def layers(dtype: torch.dtype, runs: int, chosen: list[tuple[int, int, int, int, int]]) -> None:
    rows: list[list[object]] = []
    for channels, kernel, stride, rate, side in chosen:
        x = torch.randn(10, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        padding = rate * (kernel // 2)
        conv = AtrousConv2d(channels, channels, kernel, stride, padding, rate, groups=channels, bias=False)
        theirs = 1e3 * best(backward(conv, "holes", x.requires_grad_()), runs)
        interlaced = 1e3 * best(backward(conv, "interlace", x), runs) if rate > 1 else ""
        ours = 1e3 * best(backward(conv, "auto", x), runs)
        rows.append([f"{channels}, {kernel}, {stride}, {rate}, {side}", theirs, interlaced, ours, theirs / ours])
    kind = str(dtype).removeprefix("torch.")
    table([f"{kind}: channels, kernel, stride, rate, side", "holes, ms", "interlaced", "ours", "ratio"], rows)


def backward(conv: AtrousConv2d, realisation: Realisation, x: Tensor) -> Callable[[], object]:
    conv.realisation = realisation
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype is torch.bfloat16):
        y = conv(x)
    direction = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, [x, conv.weight], direction, retain_graph=True)


def steps(strides: tuple[int, ...], runs: int, batch: int) -> None:
    rows: list[list[object]] = []
    for output_stride in strides:
        trunk = EfficientNetLite0(output_stride, frozen_norm=True, frozen_affine=False)
        network = DeepLab(trunk, ASPP(1280, 21), False).train().to(memory_format=torch.channels_last)
        image = torch.randn(batch, 3, 321, 321).contiguous(memory_format=torch.channels_last)
        mask = torch.randint(0, 21, (batch, 321, 321))
        for half in (False, True):
            times = []
            for realisation in ("holes", "interlace", "auto"):
                set_realisation(network, realisation)
                times.append(best(partial(step, network, image, mask, half), runs))
            kind = f"output stride {output_stride}, {'bfloat16' if half else 'float32'}"
            rows.append([kind, *times, times[0] / times[2]])
    table(["training step, seconds", "holes", "interlace", "auto", "auto over holes"], rows)


def step(network: DeepLab, image: Tensor, mask: Tensor, half: bool) -> None:
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        scores = network.scores(image)
    F.cross_entropy(scores, mask).backward()


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=4)
    given = options.parse_args(arguments)
    runs = 1 if given.quick else given.runs
    for dtype in (torch.float32, torch.bfloat16):
        layers(dtype, runs, LAYERS[8:10] if given.quick else LAYERS)
    steps((16,) if given.quick else (16, 8), max(1, runs // 2), 1 if given.quick else 10)


if __name__ == "__main__":
    command(main)

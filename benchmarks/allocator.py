"""What the C library's memory costs a training step on a CPU: glibc's malloc beside jemalloc, in both memory orders.

glibc gives large tensors back to the system after each use and takes them anew, page by page. Each setting is a process
of its own; the settings take turns, and the ratio is that of the sums. jemalloc as it comes gives memory back too;
MALLOC_CONF tells it to keep it.

A training takes jemalloc as `LD_PRELOAD=.../libjemalloc.so.2 MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1 python -m
deeplab_lit.train channels_last=true ...`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from common import command, parser, table

from deeplab_lit.utils.errors import UserError

TRUNKS = ("efficientnet_lite0", "resnet18", "resnet101")


def measure(trunk: str, last: bool, precision: str, steps: int, quick: bool) -> None:
    import torch
    import torch.nn.functional as F

    from deeplab_lit.models import ASPP, DeepLab, ResNet
    from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0

    if trunk == "efficientnet_lite0":
        body, channels, batch = EfficientNetLite0(16, frozen_norm=True, frozen_affine=False), 1280, 10
    else:
        depth = int(trunk.removeprefix("resnet"))
        body, channels, batch = ResNet(depth, frozen_norm=True), 512 if depth == 18 else 2048, 10 if depth == 18 else 1
    batch, side = (1, 65) if quick else (batch, 321)
    order = torch.channels_last if last else torch.contiguous_format
    network = DeepLab(body, ASPP(channels, 21), False).train().to(memory_format=order)
    image = torch.randn(batch, 3, side, side).contiguous(memory_format=order)
    mask = torch.randint(0, 21, (batch, side, side))
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            scores = network.scores(image)
        F.cross_entropy(scores.float(), mask).backward()
        times.append(time.perf_counter() - start)
    print(sum(times[1:]))


def main(arguments: list[str] | None = None) -> None:
    parsed = parser(__doc__)
    parsed.add_argument("--jemalloc", help="the library's file")
    parsed.add_argument("--trunks", nargs="+", choices=TRUNKS, default=["efficientnet_lite0"])
    parsed.add_argument("--rounds", type=int, default=3)
    parsed.add_argument("--steps", type=int, default=4)
    parsed.add_argument(
        "--precision", choices=("auto", "32-true", "bf16-mixed"), default="auto", help="as for training"
    )
    parsed.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parsed.parse_args(arguments)
    if options.child:
        measure(options.child[0], options.child[1] == "last", options.precision, options.steps, options.quick)
        return
    from deeplab_lit.utils.hardware import resolve_precision  # brings Lightning, which the children do not need

    if options.quick:
        options.rounds, options.steps = 1, 1
    precision = resolve_precision(options.precision, "cpu")
    settings = [("malloc", "first", {}), ("malloc", "last", {})]
    if options.jemalloc:
        if not Path(options.jemalloc).is_file():
            # the loader would only warn, and malloc be measured in its place
            raise UserError(f"--jemalloc {options.jemalloc}: no such file; Debian's libjemalloc2 has one.")
        preload = {"LD_PRELOAD": options.jemalloc}
        keeping = {**preload, "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}
        settings += [
            ("jemalloc", "first", preload),
            *(("jemalloc, keeping", order, keeping) for order in ("first", "last")),
        ]
    for trunk in options.trunks:
        sums = [0.0] * len(settings)
        for _ in range(options.rounds):
            for number, (_, order, more) in enumerate(settings):
                child = [sys.executable, __file__, "--child", trunk, order, "--steps", str(options.steps)]
                child += ["--precision", precision, *(["--quick"] if options.quick else [])]
                done = subprocess.run(child, env={**os.environ, **more}, capture_output=True, text=True, check=True)
                sums[number] += float(done.stdout)
        rows = [
            [f"{name}, channels {order}", total / options.rounds / options.steps, sums[0] / total]
            for (name, order, _), total in zip(settings, sums, strict=True)
        ]
        table([f"{trunk}, ASPP-L, crops of 321, {precision}", "seconds a step", "ratio"], rows)


if __name__ == "__main__":
    command(main)

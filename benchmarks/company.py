"""The work of two threads beside a busy process, and alone: what is left of its speed in company.

Each work runs in a process of its own with as many threads as there are cores, first alone and then beside one process
that computes on one thread without a pause. A scheduler that shares the cores fairly among all threads leaves
``cores / (cores + 1)`` of the speed; ``of it`` is what arrives of that share. ``--wait`` compares ways in which threads
of OpenMP wait for each other, by the variables of the environment that choose them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from common import command, parser, photographs, table

WAITS = {
    "ours": {},
    "OpenMP's own": {"GOMP_SPINCOUNT": "300000"},
    "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"spin {count:,}": {"GOMP_SPINCOUNT": str(count)} for count in (1_000, 3_000, 10_000, 30_000, 100_000)},
}
BUSY = "x = 1\nwhile True:\n    x = (x * 3 + 1) % 1000003"


def crf() -> Callable[[], object]:
    """The dense CRF of V2 on a photograph with 21 labels."""
    from crf import V2_RESNET101, from_mask

    from deeplab_lit.crf import DenseCRF

    with photographs(None, 1) as split:
        image, mask = split[0].image, split[0].mask
    probabilities, refine = from_mask(mask, 21, 0), DenseCRF(**V2_RESNET101, prune_threshold=0)
    return lambda: refine(image, probabilities)


def training(backbone: str, side: int, batch: int) -> Callable[[], object]:
    """A training step: forward, loss, backward."""
    import torch

    from deeplab_lit.models import ASPP, DeepLab, ResNet
    from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0

    torch.manual_seed(0)
    trunk = ResNet(18) if backbone == "resnet18" else EfficientNetLite0()
    network = DeepLab(trunk, ASPP(trunk.channels, 21)).train()
    images, labels = torch.randn(batch, 3, side, side), torch.randint(0, 21, (batch, side, side))

    def step() -> None:
        network.zero_grad()
        scores = torch.nn.functional.interpolate(network(images), (side, side), mode="bilinear", align_corners=True)
        torch.nn.functional.cross_entropy(scores, labels).backward()

    return step


def evaluation() -> Callable[[], object]:
    """Scores of a small image in three scales."""
    import torch

    from deeplab_lit.models import ASPP, DeepLab
    from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0

    torch.manual_seed(0)
    trunk = EfficientNetLite0()
    network = DeepLab(trunk, ASPP(trunk.channels, 21)).eval()
    images = [torch.randn(1, 3, side, side) for side in (65, 97, 129)]

    def scores() -> None:
        with torch.inference_mode():
            for image in images:
                network(image)

    return scores


WORK: dict[str, Callable[[], Callable[[], object]]] = {
    "CRF, 21 labels, 500 x 375": crf,
    "training, ResNet-18, 4 of 129": lambda: training("resnet18", 129, 4),
    "training, Lite0, 4 of 129": lambda: training("lite0", 129, 4),
    "evaluation, Lite0, three scales of 129": evaluation,
}


def measure(name: str, seconds: float) -> float:
    """Milliseconds of one piece of a work, the mean over ``seconds`` after a warm-up, in this process."""
    work = WORK[name]()
    work()
    work()
    start, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - start < seconds:
        work()
        count += 1
    return (time.perf_counter() - start) / count * 1e3


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def in_a_process(name: str, seconds: float, wait: str, busy: bool) -> float:
    given = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with neighbour(busy):
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name, "--seconds", str(seconds)],
            env=given | WAITS[wait], capture_output=True, text=True, check=True,
        )  # fmt: skip
    return float(done.stdout.split()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=6, help="of each measurement")
    arguments.add_argument("--runs", type=int, default=3, help="measurements of each kind")
    arguments.add_argument("--wait", nargs="*", default=["ours"], help=f"of {', '.join(map(repr, WAITS))}")
    arguments.add_argument("--work", nargs="*", default=list(WORK), help=f"of {', '.join(map(repr, WORK))}")
    arguments.add_argument("--measure", help="a work to measure in this process")
    given = arguments.parse_args(argv)
    if given.measure:
        print(measure(given.measure, given.seconds))
        return
    if given.quick:
        given.seconds, given.runs, given.work = 0.1, 1, given.work[:2]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows = []
    for name in given.work:
        found: dict[tuple[str, bool], list[float]] = {(wait, busy): [] for wait in given.wait for busy in (False, True)}
        for _ in range(given.runs):
            for (wait, busy), times in found.items():
                times.append(in_a_process(name, given.seconds, wait, busy))
        for wait in given.wait:
            alone, beside = (found[wait, busy] for busy in (False, True))
            left = statistics.median(alone) / statistics.median(beside)
            rows.append([
                name, wait, statistics.median(alone), f"{min(alone):.3g} to {max(alone):.3g}",
                statistics.median(beside), f"{min(beside):.3g} to {max(beside):.3g}",
                left, f"{left * (cores + 1) / cores:.0%}",
            ])  # fmt: skip
    table(["work", "waiting", "alone, ms", "range", "in company, ms", "range", "left", "of it"], rows)


if __name__ == "__main__":
    command(main)

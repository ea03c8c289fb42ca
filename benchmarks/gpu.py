"""The library on a GPU: what it computes, how fast, and what the host waits for; random images, no downloads.

Everything runs through the library's own trainer, segmenter, predictor and commands. Trainings are those of the papers'
ResNet-101 with ASPP-L, whose batch normalisation is fixed. The plain loop is what a user would write with torchvision:
the same network in bf16 by autocast, channels last, with batch normalisation as fixed layers and the loss on upsampled
scores; `benchmarks/gpu_plain.py` has it. Variants take turns, and the best of several turns counts.
"""

from __future__ import annotations

import argparse
import gc
import io
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout

import run
import torch
from common import command, parser
from gpu_inference import crf_engines, evaluation
from gpu_processes import processes
from gpu_speed import compiled, loading, training
from gpu_training import Place, agreement, waits

from deeplab_lit.training.log import quiet_libraries
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.hardware import set_tf32

SECTIONS: dict[str, tuple[str, Callable[[Place], None]]] = {
    "agreement": ("Logits and gradients", agreement),
    "waits": ("What the host waits for", waits),
    "training": ("Images a second of training", training),
    "compile": ("compile=network", compiled),
    "loading": ("The loader", loading),
    "evaluation": ("Evaluation", evaluation),
    "crf": ("The dense CRF", crf_engines),
    "processes": ("Two processes", processes),
}
AIMS = (
    ("training over the plain loop", "training over plain", 1.3),
    ("training's share of the largest rate of products", "share of the largest rate", 0.3),
    ("the CRF on the device over pydensecrf2", "CRF over pydensecrf2", 10.0),
    ("its labels equal to pydensecrf2's", "equal labels", 0.999),
)
"""What is aimed at, its name among the numbers found, and the least that each of them should be."""


class Both(io.StringIO):
    """Text that is kept and shown."""

    def __init__(self, shown: io.TextIOBase) -> None:
        super().__init__()
        self._shown = shown

    def write(self, text: str) -> int:
        self._shown.write(text)
        return super().write(text)

    def flush(self) -> None:
        self._shown.flush()


def machine(place: Place) -> str:
    """The card and its software, then the rest of the machine."""
    if place.device.type == "cpu":
        return run.machine()
    card = torch.cuda.get_device_properties(place.device)
    return (
        f"{torch.cuda.device_count()} x {card.name}, {card.total_memory / 2**30:.0f} GiB, driver {_driver()}, CUDA "
        f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}; {run.machine()}"
    )


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def attempt(place: Place, title: str, section: Callable[[Place], None]) -> bool:
    """Run a section; whether it ended without an error, of which a line is printed."""
    print(f"\n### {title}\n", flush=True)
    start = time.perf_counter()
    try:
        section(place)
        worked = True
    except Exception as error:  # the other sections may work
        traceback.print_exc(file=sys.stderr)
        print(f"{title} failed: {type(error).__name__}: {' '.join(str(error).split())[:500]}")
        worked = False
    print(f"\n{time.perf_counter() - start:.0f} s for this section.", flush=True)
    gc.collect()
    if place.device.type == "cuda":
        torch.cuda.empty_cache()
    return worked


def summary(place: Place) -> None:
    """Which aims are met, and by how much; of several numbers the least counts."""
    print("\n### Aims\n")
    for title, name, wanted in AIMS:
        numbers = place.found.get(name)
        if not numbers:
            print(f"- {title}, at least {wanted:g}: not measured")
            continue
        least, most = min(numbers), max(numbers)
        verdict = f"met, {least:.4g}" if least >= wanted else f"not met, {least:.4g}"
        print(f"- {title}, at least {wanted:g}: {verdict} to {most:.4g}, {least / wanted:.3g} times the aim")


def place_of(given: argparse.Namespace) -> Place:
    wanted = given.device or "cuda"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch sees no GPU here; --device cpu --quick shows that everything runs.")
    return Place(torch.device(wanted), given.quick)


def main(words: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--device", choices=["cuda", "cpu"], help="a GPU if nothing is said; cpu: only prints")
    options.add_argument("--only", nargs="+", choices=list(SECTIONS), help="these sections; only prints")
    given = options.parse_args(words)
    place = place_of(given)
    quiet_libraries()
    set_tf32(True)
    torch.manual_seed(0)
    told = machine(place)
    print(f"{told}.", flush=True)
    with redirect_stdout(Both(sys.stdout)) as printed:  # type: ignore[type-var]
        worked = [attempt(place, *SECTIONS[name]) for name in given.only or SECTIONS]
        summary(place)
    if place.device.type == "cuda" and not given.quick and not given.only:
        run.put("gpu", run.part("gpu", [], told, printed.getvalue()))
    if not all(worked):
        sys.exit(1)


if __name__ == "__main__":
    command(main)

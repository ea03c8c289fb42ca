"""The dense CRF beside pydensecrf2, on the same photographs, probabilities and cores, in one run.

    python benchmarks/crf.py --root VOC2012 --images 20 --checkpoint best.ckpt

Without a checkpoint the probabilities are made of the true masks: blurred, with smooth noise over all 21 classes. Every
time includes all that a caller waits for: the lattices, the inference, the copy of the result. Engines take turns on
each image, so that whatever else the machine does meets both; ratios are pydensecrf's time over ours.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from deeplab_lit.crf import DenseCRF
from deeplab_lit.data.voc import VOC

V2_RESNET101 = {
    "bilateral_weight": 4, "bilateral_xy_std": 67, "bilateral_rgb_std": 3, "gaussian_weight": 3, "gaussian_xy_std": 1,
    "normalization": "after",
}  # fmt: skip


def from_mask(mask: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Probabilities of the kind that a coarse network gives: the truth at an eighth of the size, and smooth noise."""
    import cv2

    rng = np.random.default_rng(seed)
    height, width = mask.shape
    small = np.where(mask == 255, 0, mask)[::8, ::8]
    scores = rng.normal(0, 1, (classes, *small.shape)).astype(np.float32)
    scores += 6.0 * (np.arange(classes)[:, None, None] == small)
    big = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_LINEAR) for each in scores])
    big = np.exp(big - big.max(0))
    return (big / big.sum(0)).astype(np.float32)


def predictions(checkpoint: str, images: list[np.ndarray], allow: list[str]) -> list[np.ndarray]:
    import deeplab_lit

    trained = deeplab_lit.load(checkpoint, allow)
    return [trained.probabilities(image) for image in images]


def spread(values: list[float]) -> str:
    return f"min {min(values):.3f}  median {np.median(values):.3f}  max {max(values):.3f}"


def timed(crf: DenseCRF, image: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = crf(image, probabilities)
    return time.perf_counter() - start, result


def warm_up(example: tuple[np.ndarray, np.ndarray]) -> None:
    """Compile, or read what was compiled: a variant for up to 8, 16 and 32 labels, for one thread and for several."""
    image, probabilities = example
    for labels in (8, 16, len(probabilities)):
        few = np.ascontiguousarray(probabilities[:labels]) + np.float32(1e-3)
        for threads in (None, 1):
            crf = DenseCRF(**V2_RESNET101, prune_threshold=0, threads=threads)
            crf(image, few / few.sum(0))
            crf.labels(image, few / few.sum(0))


def one_at_a_time(inputs: list[tuple[np.ndarray, np.ndarray]], prune: float) -> None:
    reference = DenseCRF(**V2_RESNET101, engine="pydensecrf", prune_threshold=0)
    ours = {
        "all labels": DenseCRF(**V2_RESNET101, prune_threshold=0),
        f"pruned at {prune:g}": DenseCRF(**V2_RESNET101, prune_threshold=prune),
    }
    warm_up(inputs[0])
    theirs, times = [], {name: [] for name in ours}
    equal, close, kept = {name: [] for name in ours}, {name: [] for name in ours}, []
    for image, probabilities in inputs:
        seconds, expected = timed(reference, image, probabilities)
        theirs.append(seconds)
        kept.append(int((probabilities.reshape(len(probabilities), -1).max(1) >= prune).sum()))
        for name, crf in ours.items():
            seconds, found = timed(crf, image, probabilities)
            times[name].append(seconds)
            equal[name].append((found.argmax(0) == expected.argmax(0)).mean())
            close[name].append((np.abs(found - expected) <= 1e-3).mean())
    print(f"one image at a time, {len(inputs)} images; seconds an image")
    print(f"  pydensecrf            {spread(theirs)}")
    for name in ours:
        ratio = [a / b for a, b in zip(theirs, times[name], strict=True)]
        print(f"  ours, {name:15s} {spread(times[name])}")
        print(f"    ratio               {spread(ratio)}; of the sums {sum(theirs) / sum(times[name]):.2f}")
        print(f"    labels equal        {np.mean(equal[name]):.6f}; marginals within 1e-3 {np.mean(close[name]):.6f}")
    print(f"  labels kept of {len(inputs[0][1])}: {spread(kept)}")


def _reference_in_a_process(each: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return DenseCRF(**V2_RESNET101, engine="pydensecrf", prune_threshold=0).labels(*each)


def many(inputs: list[tuple[np.ndarray, np.ndarray]], workers: int, prune: float) -> None:
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(_reference_in_a_process, inputs[:workers]))  # processes started, modules imported
        start = time.perf_counter()
        list(pool.map(_reference_in_a_process, inputs, chunksize=1))
        theirs = time.perf_counter() - start
    print(f"{len(inputs)} images over {workers} cores; seconds for all")
    print(f"  pydensecrf, {workers} processes {theirs:.2f}")
    for name, threshold in (("all labels", 0.0), (f"pruned at {prune:g}", prune)):
        crf = DenseCRF(**V2_RESNET101, prune_threshold=threshold, threads=1)
        with ThreadPoolExecutor(workers) as pool:
            start = time.perf_counter()
            list(pool.map(lambda each, crf=crf: crf.labels(*each), inputs))
            seconds = time.perf_counter() - start
        print(f"  ours, {workers} threads, {name:15s} {seconds:.2f}  ratio {theirs / seconds:.2f}")


def steadiness(image: np.ndarray, probabilities: np.ndarray, runs: int = 20) -> None:
    crf = DenseCRF(**V2_RESNET101, prune_threshold=0)
    crf(image, probabilities)
    print(f"the same image {runs} times: {spread([timed(crf, image, probabilities)[0] for _ in range(runs)])}")


def _peak(engine: str, image: np.ndarray, probabilities: np.ndarray) -> float:
    """Megabytes that a process needs for one image beyond what it has after a very small one."""
    crf = DenseCRF(**V2_RESNET101, engine=engine, prune_threshold=0)
    small = np.ascontiguousarray(probabilities[:, :8, :8])
    crf(np.ascontiguousarray(image[:8, :8]), small / small.sum(0))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _resident("VmRSS")
    crf(image, probabilities)
    return (_resident("VmHWM") - before) / 1024


def _resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def memory(image: np.ndarray, probabilities: np.ndarray) -> None:
    print(f"memory for one image of {image.shape[:2]} with {len(probabilities)} labels, MB beyond a very small image")
    for engine in ("pydensecrf", "permutohedral"):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            print(f"  {engine:20s}  {pool.submit(_peak, engine, image, probabilities).result():.0f}")


def trade_off(inputs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """What thresholds of pruning leave, against all labels."""
    print(f"pruning, {len(inputs)} images: threshold, mean of labels kept, mean and worst of equal labels, time")
    whole = DenseCRF(**V2_RESNET101, prune_threshold=0)
    thresholds = (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)
    equal, kept = {t: [] for t in thresholds}, {t: [] for t in thresholds}
    seconds, base = dict.fromkeys(thresholds, 0.0), 0.0
    for image, probabilities in inputs:
        time_whole, expected = timed(whole, image, probabilities)
        base += time_whole
        for threshold in thresholds:
            time_pruned, found = timed(DenseCRF(**V2_RESNET101, prune_threshold=threshold), image, probabilities)
            seconds[threshold] += time_pruned
            equal[threshold].append((found.argmax(0) == expected.argmax(0)).mean())
            kept[threshold].append((probabilities.reshape(len(probabilities), -1).max(1) >= threshold).sum())
    for threshold in thresholds:
        print(
            f"  {threshold:<8g}{np.mean(kept[threshold]):6.1f}   {np.mean(equal[threshold]):.6f}  "
            f"{np.min(equal[threshold]):.6f}   {seconds[threshold] / base:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="a folder in the VOC layout")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--checkpoint", help="a trained network whose probabilities are refined")
    parser.add_argument("--allow", nargs="*", default=[], help="packages of the checkpoint's trunk, such as mine.")
    parser.add_argument("--trade-off", action="store_true", help="also what each threshold of pruning leaves")
    parser.add_argument("--prune", type=float, default=0.01)
    parser.add_argument("--many", type=int, default=0, help="also the throughput over this many images")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    split = VOC(Path(arguments.root)).split("val")
    step = max(1, len(split) // max(arguments.images, arguments.many))
    examples = [split[i] for i in range(0, len(split), step)][: max(arguments.images, arguments.many)]
    images = [example.image for example in examples]
    if arguments.checkpoint:
        probabilities = predictions(arguments.checkpoint, images, arguments.allow)
    else:
        probabilities = [from_mask(example.mask, 21, seed) for seed, example in enumerate(examples)]
    inputs = list(zip(images, probabilities, strict=True))
    one_at_a_time(inputs[: arguments.images], arguments.prune)
    steadiness(*inputs[0])
    memory(*inputs[0])
    if arguments.trade_off:
        trade_off(inputs[: arguments.images])
    if arguments.many:
        many(inputs[: arguments.many], arguments.workers, arguments.prune)


if __name__ == "__main__":
    main()

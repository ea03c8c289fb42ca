"""The dense CRF beside pydensecrf2, on the same photographs, probabilities and cores, in one run.

Without a checkpoint the probabilities are made of the true masks: blurred, with smooth noise over all 21 classes. Every
time includes all that a caller waits for: the lattices, the inference, the copy of the result; compilation, once per
installation, is left out. Engines take turns on each image, so that whatever else the machine does meets both; ratios
are pydensecrf's time over ours. The parameters are those of V2's ResNet-101, with 10 iterations.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from common import command, parser, photographs, table

from deeplab_lit.crf import DenseCRF

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


def timed(crf: DenseCRF, image: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = crf(image, probabilities)
    return time.perf_counter() - start, result


def warm_up(example: tuple[np.ndarray, np.ndarray], most: tuple[int, ...]) -> None:
    """Compile, or read what was compiled: a variant for up to 8, 16 and 32 labels, for one thread and for several."""
    image, probabilities = example
    for labels in most:
        few = np.ascontiguousarray(probabilities[:labels]) + np.float32(1e-3)
        for threads in (None, 1):
            crf = DenseCRF(**V2_RESNET101, prune_threshold=0, threads=threads)
            crf(image, few / few.sum(0))
            crf.labels(image, few / few.sum(0))


def one_at_a_time(inputs: list[tuple[np.ndarray, np.ndarray]], prune: float, quick: bool) -> None:
    reference = DenseCRF(**V2_RESNET101, engine="pydensecrf", prune_threshold=0)
    ours = {
        "all labels": DenseCRF(**V2_RESNET101, prune_threshold=0),
        f"pruned at {prune:g}": DenseCRF(**V2_RESNET101, prune_threshold=prune),
    }
    classes = len(inputs[0][1])
    warm_up(inputs[0], (classes,) if quick else (8, 16, classes))
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
    rows: list[list[object]] = [["pydensecrf2", *_spread(theirs), "", "", "", ""]]
    for name in ours:
        ratio = [a / b for a, b in zip(theirs, times[name], strict=True)]
        least, _, most = _spread(ratio)
        accuracy = f"{np.mean(equal[name]):.6f}", f"{np.mean(close[name]):.6f}"
        total = sum(theirs) / sum(times[name])
        rows.append([f"ours, {name}", *_spread(times[name]), total, f"{least:.2f} to {most:.2f}", *accuracy])
    header = ["seconds: min", "median", "max", "ratio of the sums", "ratios", "labels equal", "marginals within 1e-3"]
    table([f"{len(inputs)} images, one at a time", *header], rows)
    print(f"Labels kept of {len(inputs[0][1])}: {np.median(kept):g} (median).")


def _spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), float(np.median(values)), max(values)


def _reference_in_a_process(each: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return DenseCRF(**V2_RESNET101, engine="pydensecrf", prune_threshold=0).labels(*each)


def many(inputs: list[tuple[np.ndarray, np.ndarray]], workers: int, prune: float) -> None:
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(_reference_in_a_process, inputs[:workers]))  # processes started, modules imported
        start = time.perf_counter()
        list(pool.map(_reference_in_a_process, inputs, chunksize=1))
        theirs = time.perf_counter() - start
    rows: list[list[object]] = [[f"pydensecrf2, {workers} processes", theirs, ""]]
    for name, threshold in (("all labels", 0.0), (f"pruned at {prune:g}", prune)):
        crf = DenseCRF(**V2_RESNET101, prune_threshold=threshold, threads=1)
        with ThreadPoolExecutor(workers) as pool:
            start = time.perf_counter()
            list(pool.map(lambda each, crf=crf: crf.labels(*each), inputs))
            seconds = time.perf_counter() - start
        rows.append([f"ours, {workers} threads, {name}", seconds, theirs / seconds])
    table([f"{len(inputs)} images over {workers} cores", "seconds", "ratio"], rows)


def steadiness(image: np.ndarray, probabilities: np.ndarray, runs: int = 20) -> None:
    crf = DenseCRF(**V2_RESNET101, prune_threshold=0)
    crf(image, probabilities)
    least, median, most = _spread([timed(crf, image, probabilities)[0] for _ in range(runs)])
    print(f"One image {runs} times, all labels: {least:.3f} s at least, {median:.3f} median, {most:.3f} at most.")


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
    found = []
    for engine in ("pydensecrf", "permutohedral"):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found.append(pool.submit(_peak, engine, image, probabilities).result())
    size = " x ".join(map(str, image.shape[:2]))
    theirs, ours = (f"{each:.0f} MB" for each in found)
    print(f"Memory for an image of {size} beyond what the process has: pydensecrf2 {theirs}, ours {ours}.")


def trade_off(inputs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """What thresholds of pruning leave, against all labels."""
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
    rows = [
        [
            f"{threshold:g}",
            float(np.mean(kept[threshold])),
            f"{np.mean(equal[threshold]):.6f}",
            f"{np.min(equal[threshold]):.6f}",
            seconds[threshold] / base,
        ]
        for threshold in thresholds
    ]
    table(["pruned at", "labels kept, mean", "labels equal, mean", "worst image", "time over all labels'"], rows)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__, photographs=True)
    options.add_argument("--images", type=int, default=20)
    options.add_argument("--checkpoint", help="a trained network whose probabilities are refined")
    options.add_argument("--allow", nargs="*", default=[], help="packages of the checkpoint's trunk, such as mine.")
    options.add_argument("--trade-off", action="store_true", help="also what each threshold of pruning leaves")
    options.add_argument("--prune", type=float, default=0.01)
    options.add_argument("--many", type=int, default=0, help="also the throughput over this many images")
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args(arguments)
    if given.quick:
        given.images, given.many = 1, 0
    with photographs(given.root, max(given.images, given.many)) as split:
        examples = [split[i] for i in range(len(split))]
    images = [example.image for example in examples]
    if given.checkpoint:
        probabilities = predictions(given.checkpoint, images, given.allow)
    else:
        probabilities = [from_mask(example.mask, 21, seed) for seed, example in enumerate(examples)]
    inputs = list(zip(images, probabilities, strict=True))
    one_at_a_time(inputs[: given.images], given.prune, given.quick)
    steadiness(*inputs[0], 2 if given.quick else 20)
    if not given.quick:
        memory(*inputs[0])
    if given.trade_off:
        trade_off(inputs[: given.images])
    if given.many:
        many(inputs[: given.many], given.workers, given.prune)


if __name__ == "__main__":
    command(main)

"""Images a second of trainings in benchmarks/gpu.py: beside the plain loop, compiled, and what the loader gives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from common import photographs, table, timed
from gpu_plain import PlainDeepLab, PlainLoop, matmul_peak, wait
from gpu_training import CLASSES, Batch, Inside, Place, calm, fit, network_of, random_batch, segmenter_of
from lightning.pytorch.callbacks import Callback
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.data.datamodule import TrainSet, stacked
from deeplab_lit.data.loader_processes import loader_processes
from deeplab_lit.data.normalization import IMAGENET, NormalizeBytes
from deeplab_lit.data.sampling import TrainSampler
from deeplab_lit.data.split import Split
from deeplab_lit.data.transforms import TrainTransform
from deeplab_lit.utils.parallel import cores


class Timer(Callback):
    """Seconds of the first step, and the mean of those after ``warm`` ones; it waits for the device only between."""

    first = each = float("nan")

    def __init__(self, device: torch.device, warm: int, steps: int) -> None:
        self._device, self._warm, self._steps = device, warm, steps

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
        if index in (0, self._warm):
            wait(self._device)
            self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if index in (0, self._warm + self._steps - 1):
            wait(self._device)
            spent = time.perf_counter() - self._start
            if index == 0:
                self.first = spent
            else:
                self.each = spent / self._steps


class Ours:
    """A training of a config on one batch, which can be timed again and again."""

    def __init__(self, place: Place, config: TrainConfig, batch: Batch) -> None:
        self._place, self._config, self._batch = place, config, batch
        self.network = network_of(config)
        self._segmenter = segmenter_of(config, self.network)
        self.first = float("nan")

    def seconds(self, warm: int, steps: int) -> float:
        timer = Timer(self._place.device, warm, steps)
        fit(self._config, self._segmenter, self._batch, warm + steps, [timer])
        self.first = timer.first
        return timer.each

    def flops(self) -> int:
        counter = FlopCounterMode(display=False)
        fit(self._config, self._segmenter, self._batch, 2, [Inside(counter, 1, 1)])
        return counter.get_total_flops()


def _best(variants: dict[str, Any], place: Place) -> dict[str, float]:
    """The least seconds of a step of each, by turns."""
    warm, steps, turns = (1, 1, 1) if place.quick else (5, 30, 4)
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(turns):
        for name, each in variants.items():
            best[name] = min(best[name], each.seconds(warm, steps))
    return best


def training(place: Place) -> None:
    """Images a second beside the plain loop, and the share of the device's largest rate of products."""
    half = place.half or torch.float32
    peak = matmul_peak(place.device, 256 if place.quick else 8192, half)
    crop, sizes = (65, (1, 2)) if place.quick else (321, (10, 16))
    rows: list[list[object]] = []
    for scales, batch in (*(("single", size) for size in sizes), ("msc", sizes[0])):
        try:
            rows += _training_of(place, scales, batch, crop, peak)
        except torch.OutOfMemoryError:
            rows.append([f"{scales}, batch {batch}", "the device's memory is too small", "", "", "", ""])
            torch.cuda.empty_cache()
    name = f"ResNet-{place.depth} + ASPP-L, crops of {crop}"
    table([name, "training", "images a second", "over plain", "GFLOP an image", "share of the largest rate"], rows)
    print(f"Products of large square matrices in {str(half).removeprefix('torch.')}: {peak / 1e12:.3g} TFLOP/s.")


def _training_of(place: Place, scales: str, images: int, crop: int, peak: float) -> list[list[object]]:
    batch = random_batch(images, crop)
    resolutions = {"ours, loss at full size as plain": "full", "ours, loss at the map as the papers": "map"}
    ours = {name: Ours(place, place.config(crop, f"scales={scales}", f"loss.resolution={resolution}"), batch)
            for name, resolution in resolutions.items()}  # fmt: skip
    first = next(iter(ours.values()))
    plain = _plain(place, place.config(crop, f"scales={scales}"), batch)
    _check_same_size(first.network, plain.network)
    with FlopCounterMode(display=False) as counter:
        plain.step()
    flops = {"plain": counter.get_total_flops(), **{name: each.flops() for name, each in ours.items()}}
    best = _best({"plain": plain, **ours}, place)
    rows: list[list[object]] = []
    for name, seconds in best.items():
        ratio, share = best["plain"] / seconds, flops[name] / seconds / peak
        rows.append([f"{scales}, batch {images}", name, images / seconds, ratio, flops[name] / images / 1e9, share])
    like = next(iter(ours))
    place.tell("training over plain", best["plain"] / best[like])
    place.tell("share of the largest rate", flops[like] / best[like] / peak)
    if scales == "single":
        place.tell(f"images a second, {like}", images / best[like])
    return rows


def _plain(place: Place, config: TrainConfig, batch: Batch) -> PlainLoop:
    network = calm(PlainDeepLab(place.depth, CLASSES, config.model["hidden"]))
    image, mask = NormalizeBytes(IMAGENET)(batch["image"]), batch["mask"].long()
    return PlainLoop(network, image, mask, config.scales.factors, place.device, place.half)  # type: ignore[arg-type]


def _check_same_size(*networks: torch.nn.Module) -> None:
    """Stop where the two networks do not have the same number of parameters: their times could not be compared."""
    sizes = [sum(each.numel() for each in network.parameters()) for network in networks]
    if len(set(sizes)) > 1:
        raise RuntimeError(f"the networks that are compared have {sizes} parameters")


def compiled(place: Place) -> None:
    """compile=network beside eager: the time of the first step, the graphs that it makes, and images a second."""
    crop, images = (33, 1) if place.quick else (321, 10)
    torch.compiler.reset()
    counters.clear()
    options = ("loss.resolution=full", *(("backbone=resnet18",) if place.quick else ()))
    variants = {name: Ours(place, place.config(crop, *options, f"compile={name}"), random_batch(images, crop))
                for name in ("none", "network")}  # fmt: skip
    for each in variants.values():
        each.seconds(1, 1)
    first = {name: each.first for name, each in variants.items()}
    graphs, breaks = counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
    best = _best(variants, place)
    rows = [[f"compile={name}", first[name], images / best[name], best["none"] / best[name]] for name in variants]
    table([f"crops of {crop}, batch {images}", "seconds of the first step", "images a second", "over eager"], rows)
    print(f"Compiled graphs of network and loss: {graphs}, which {breaks} breaks have cut.")


def loading(place: Place) -> None:
    """Images a second that the loader gives, beside what the step of the section on trainings needs."""
    crop, images, batches = (65, 2, 2) if place.quick else (321, 10, 60)
    numbers = [number for number in (1, 2, 4, 8) if number <= cores()][: 1 if place.quick else None]
    with photographs(None, 4 if place.quick else 100, "train") as split:
        rows = [[number, _loaded(split, crop, images, batches, number)] for number in numbers]
    table([f"drawn JPEGs of VOC's size, crops of {crop}: loader processes", "images a second"], rows)
    needed = place.found.get("images a second, ours, loss at full size as plain")
    print(f"The step needs {needed[0]:.3g} images a second." if needed else "The section on trainings has not run.")
    batch = random_batch(images, crop)
    sent = batch["image"].nbytes + batch["mask"].nbytes
    usual = 4 * batch["image"].numel() + 8 * batch["mask"].numel()
    print(f"A batch of {images} sends {sent / 1e6:.3g} MB to the device; as float32 and int64 it is {usual / 1e6:.3g}.")


def _loaded(split: Split, crop: int, images: int, batches: int, workers: int) -> float:
    warm = 4 * workers  # the loader reads two batches a process ahead
    data = TrainSet(split, TrainTransform(crop, IMAGENET))
    sampler: Sequence[Any] = TrainSampler(len(split), images * (warm + batches), 0)  # type: ignore[assignment]
    loader = iter(DataLoader(
        data, images, sampler=sampler, num_workers=workers, collate_fn=stacked, pin_memory=torch.cuda.is_available(),
        **loader_processes(workers, 1),
    ))  # fmt: skip
    for _ in range(warm):
        next(loader)
    return images * batches / timed(lambda: [next(loader) for _ in range(batches)])

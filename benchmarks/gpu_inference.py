"""Evaluation and the dense CRF in benchmarks/gpu.py, on the device and on the CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
from common import photographs, table, timed
from crf import V2_RESNET101, from_mask
from gpu_training import CLASSES, Place, network_of

from deeplab_lit.crf import DenseCRF
from deeplab_lit.data.normalization import IMAGENET
from deeplab_lit.data.split import Split
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.inference.scoring import score_split
from deeplab_lit.models.network import at_scales
from deeplab_lit.utils.parallel import cores

_SCALES = (0.5, 0.75, 1.0)
_SMALL = (128, 96)  # pictures of a quick run


def evaluation(place: Place) -> None:
    """Images a second of what deeplab_lit.evaluate runs: the network, the CRF beside it, and the counts."""
    network = network_of(place.config(321))
    size, images = (129, 2) if place.quick else (513, 48)
    engines = {"permutohedral on the CPU": "permutohedral", f"torch on {place.device.type.upper()}": "torch"}
    crfs = {
        name: DenseCRF(**V2_RESNET101, engine=engine, threads=1, device=str(place.device))  # type: ignore[arg-type]
        for name, engine in engines.items()
    }
    work = [("one scale", [1.0], None), ("three scales", _SCALES, None),
            *((f"three scales, CRF: {name}", _SCALES, crf) for name, crf in crfs.items())]  # fmt: skip
    rows: list[list[object]] = []
    with photographs(None, images, size=_SMALL if place.quick else None) as split:
        for name, scales, crf in work:
            predictor = Predictor(at_scales(network, scales), IMAGENET, size, device=str(place.device))
            _score(predictor, split, max(1, images // 4), crf)  # warms up
            rows.append([name, images / timed(_later(predictor, split, images, crf))])
    table([f"evaluation, padded to {size}, {predictor.precision}", "images a second"], rows)
    print(f"{images} drawn images, {cores()} threads for reading, counts and the CRF. Random weights: all labels stay.")


def _later(predictor: Predictor, split: Split, images: int, crf: DenseCRF | None) -> Callable[[], None]:
    return lambda: _score(predictor, split, images, crf)


def _score(predictor: Predictor, split: Split, images: int, crf: DenseCRF | None) -> None:
    score_split(predictor, split, range(images), CLASSES, crf, 40, 0, cores(), lambda *_: None)


def crf_engines(place: Place) -> None:
    """The CRF of each engine, one image at a time with all labels kept: time, and labels beside the reference's."""
    reference = "pydensecrf2"
    crfs = {
        reference: DenseCRF(**V2_RESNET101, engine="pydensecrf", prune_threshold=0),  # type: ignore[arg-type]
        "ours on the CPU": DenseCRF(**V2_RESNET101, prune_threshold=0),  # type: ignore[arg-type]
        f"ours, torch on {place.device.type.upper()}": DenseCRF(
            **V2_RESNET101, engine="torch", prune_threshold=0, device=str(place.device)  # type: ignore[arg-type]
        ),
    }  # fmt: skip
    if importlib.util.find_spec("pydensecrf") is None:
        print("pydensecrf2 is not installed (it builds on Python 3.11 and 3.12): the reference is ours on the CPU.")
        del crfs[reference]
        reference = "ours on the CPU"
    images = 1 if place.quick else 4
    rows: list[list[object]] = []
    with photographs(None, images, size=_SMALL if place.quick else None) as split:
        examples = [split[index] for index in range(images)]
    for labels in (21, 81):
        inputs = [(each.image, from_mask(each.mask, labels, seed)) for seed, each in enumerate(examples)]
        seconds, equal = _by_turns(crfs, inputs, reference)
        for name in crfs:
            ratio = sum(seconds[reference]) / sum(seconds[name])
            rows.append([labels, name, 1e3 * float(np.mean(seconds[name])), ratio, f"{np.mean(equal[name]):.6f}"])
        if reference == "pydensecrf2":
            place.tell("CRF over pydensecrf2", ratio)
            place.tell("equal labels", float(np.mean(equal[name])))
    height, width = examples[0].mask.shape
    table([f"labels, {height} x {width}", "CRF", "ms an image", f"over {reference}", "labels equal"], rows)


def _by_turns(
    crfs: dict[str, DenseCRF], inputs: list[tuple[np.ndarray, np.ndarray]], reference: str
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of each image by each CRF, and the share of the reference's labels."""
    seconds: dict[str, list[float]] = {name: [] for name in crfs}
    equal: dict[str, list[float]] = {name: [] for name in crfs}
    for name, crf in crfs.items():
        if name != "pydensecrf2":  # it has nothing to compile
            crf.labels(*inputs[0])
    for image, probabilities in inputs:
        found: dict[str, np.ndarray] = {}
        for name, crf in crfs.items():
            seconds[name].append(timed(lambda: found.update({name: crf.labels(image, probabilities)})))  # noqa: B023
        for name, each in found.items():
            equal[name].append(float((each == found[reference]).mean()))
    return seconds, equal

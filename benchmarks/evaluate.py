"""Evaluating with multi-scale inputs and the CRF, all of it: this library beside the usual way.

The usual way: the plain float32 network as PyTorch computes it, at three scales fused by the maximum, its full-size
scores written to .npy files; a joblib pool of one process a core that reads them and runs pydensecrf2; and
torchmetrics' Jaccard index over the labels, before and after. Ours: what `deeplab_lit.evaluate` runs (precision by
capability, the CRF in threads while the next image is in the network, pruning at 0.01), which also counts trimaps.
Both read the same JPEGs and PNGs with the same checkpoint, each in processes of its own, by turns; imports and
compilation are left out on both sides.

Then what comes after the network for one image: labels from its coarse scores, and the confusion matrix.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import best_in_turns, command, parser, photographs, table, timed

SCALES = (0.5, 0.75, 1.0)
CRF = {
    "bilateral_weight": 4, "bilateral_xy_std": 67, "bilateral_rgb_std": 3, "gaussian_weight": 3, "gaussian_xy_std": 1,
    "normalization": "after",
}  # fmt: skip


def network(checkpoint: str | None) -> tuple[Any, Any]:
    """A trained network and its normalisation, or EfficientNet-Lite0 with ASPP-L from random weights."""
    import torch

    import deeplab_lit
    from deeplab_lit.data.normalization import Normalization
    from deeplab_lit.models import ASPP, DeepLab
    from deeplab_lit.models.efficientnet_lite0 import EfficientNetLite0

    if checkpoint:
        trained = deeplab_lit.load(checkpoint)
        return trained.network, trained.normalization
    torch.manual_seed(0)
    return DeepLab(EfficientNetLite0(16), ASPP(1280, 21, rate_scale=0.5)).eval(), Normalization()


def usual(split: Any, given: argparse.Namespace, folder: Path) -> tuple[float, list[float]]:
    import joblib
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torchmetrics.classification import MulticlassJaccardIndex

    from deeplab_lit.models.atrous import set_realisation
    from deeplab_lit.models.folding import set_folding
    from deeplab_lit.models.network import deeplab_of

    whole, normalization = network(given.checkpoint)
    single = deeplab_of(whole).eval()
    set_folding(single, False)
    set_realisation(single, "holes")
    scores = (
        MulticlassJaccardIndex(split.num_classes, ignore_index=255),
        MulticlassJaccardIndex(split.num_classes, ignore_index=255),
    )

    def forward(index: int) -> None:
        example = split[index]
        height, width = example.mask.shape
        x = normalization(example.image, (max(513, height), max(513, width)))[None]
        maps = []
        with torch.no_grad():
            for scale in SCALES:
                size = [round((side - 1) * scale) + 1 for side in x.shape[-2:]]
                scaled = F.interpolate(x, size, mode="bilinear", align_corners=True)
                maps.append(single.head(single.trunk(scaled)))
        target = maps[-1].shape[-2:]
        fused = torch.stack([F.interpolate(m, target, mode="bilinear", align_corners=True) for m in maps]).amax(0)
        full = F.interpolate(fused, x.shape[-2:], mode="bilinear", align_corners=True)[0, :, :height, :width]
        np.save(folder / f"{index}.npy", full.numpy())
        scores[0].update(full.argmax(0), torch.from_numpy(example.mask).long())

    def refined(pool: Any, indices: range) -> list[Any]:
        jobs = (joblib.delayed(_refine)(folder / f"{i}.npy", split.images[i]) for i in indices)
        return pool(jobs)

    def everything(indices: range) -> None:
        for index in indices:
            forward(index)
        for index, labels in zip(indices, refined(pool, indices), strict=True):
            scores[1].update(torch.from_numpy(labels), torch.from_numpy(split[index].mask).long())

    with joblib.Parallel(given.workers) as pool:
        everything(range(min(given.workers, len(split))))  # imports, and the pool's processes
        for score in scores:
            score.reset()
        seconds = timed(lambda: everything(range(len(split))))
    return seconds, [float(score.compute()) for score in scores]


def _refine(saved: Path, photograph: Path) -> Any:
    import numpy as np
    import pydensecrf.densecrf as dcrf
    from PIL import Image
    from pydensecrf.utils import unary_from_softmax

    scores = np.load(saved)
    image = np.array(Image.open(photograph).convert("RGB"))
    probabilities = np.exp(scores - scores.max(0))
    probabilities /= probabilities.sum(0)
    classes, height, width = scores.shape
    model = dcrf.DenseCRF2D(width, height, classes)
    model.setUnaryEnergy(unary_from_softmax(probabilities))
    model.addPairwiseGaussian(1, 3, normalization=dcrf.NORMALIZE_AFTER)
    model.addPairwiseBilateral(67, 3, image, 4, normalization=dcrf.NORMALIZE_AFTER)
    return np.argmax(model.inference(10), 0).reshape(height, width).astype(np.int64)


def ours(split: Any, given: argparse.Namespace, folder: Path) -> tuple[float, list[float]]:
    from deeplab_lit.crf import DenseCRF
    from deeplab_lit.inference.predictor import Predictor
    from deeplab_lit.inference.scoring import score_split
    from deeplab_lit.models.network import at_scales, deeplab_of

    whole, normalization = network(given.checkpoint)
    predictor = Predictor(at_scales(deeplab_of(whole), SCALES), normalization)
    crf = DenseCRF(**CRF, threads=1)

    def everything(indices: range) -> Any:
        return score_split(
            predictor, split, indices, split.num_classes, crf, 40, 6, given.workers, lambda *_: None
        ).scores

    everything(range(min(2, len(split))))
    found: list[Any] = []
    seconds = timed(lambda: found.extend(everything(range(len(split)))))
    return seconds, [float(score.miou) for score in found]


def in_a_process(way: str, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--way", way, "--images", str(given.images), "--workers", str(given.workers)]
    for key in ("root", "checkpoint"):
        command += [f"--{key}", getattr(given, key)] if getattr(given, key) else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def after_the_network(runs: int) -> None:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torchmetrics.classification import MulticlassJaccardIndex

    from deeplab_lit.inference.metrics import ConfusionMatrix
    from deeplab_lit.models.pixel_labels import upsampled_argmax

    coarse = torch.randn(1, 21, 33, 33)
    truth = torch.from_numpy(np.random.default_rng(0).integers(0, 21, (1, 513, 513)))
    jaccard, counts = MulticlassJaccardIndex(21, ignore_index=255), ConfusionMatrix(21)
    usual = F.interpolate(coarse, (513, 513), mode="bilinear", align_corners=True).argmax(1)
    labels = upsampled_argmax(coarse, (513, 513), True)
    found = best_in_turns(
        {
            "labels": lambda: F.interpolate(coarse, (513, 513), mode="bilinear", align_corners=True).argmax(1),
            "our labels": lambda: upsampled_argmax(coarse, (513, 513), True),
            "counts": lambda: jaccard.update(usual, truth),
            "our counts": lambda: counts.update(labels, truth),
        },
        runs,
    )
    rows = [
        [what, 1e3 * found[key], 1e3 * found[f"our {key}"], found[key] / found[f"our {key}"]]
        for what, key in (
            ("labels of 513 x 513 from 21 maps of 33 x 33: interpolate and argmax", "labels"),
            ("their counts: torchmetrics' Jaccard index", "counts"),
        )
    ]
    table(["after the network", "usual, ms", "ours, ms", "ratio"], rows)
    print(f"Labels equal: {float((labels == usual).double().mean()):.6f}")


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__, photographs=True)
    options.add_argument("--checkpoint", help="a trained network; without it, random weights")
    options.add_argument("--images", type=int, default=100)
    options.add_argument("--workers", type=int, default=os.cpu_count())
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--way", choices=("usual", "ours"), help=argparse.SUPPRESS)
    given = options.parse_args(arguments)
    if given.quick:
        given.images = 1
    if given.way:
        from deeplab_lit.utils.openmp import leave_cores_to_the_crf

        if given.way == "ours":
            leave_cores_to_the_crf()
        with photographs(given.root, given.images) as split, tempfile.TemporaryDirectory() as folder:
            seconds, scores = (usual if given.way == "usual" else ours)(split, given, Path(folder))
        print(json.dumps({"seconds": seconds, "scores": scores}))
        return
    found: dict[str, list[dict[str, Any]]] = {"usual": [], "ours": []}
    for _ in range(given.rounds):
        for way, results in found.items():
            results.append(in_a_process(way, given))
    best = {way: min(each["seconds"] for each in results) for way, results in found.items()}
    rows = [
        [way, best[way], given.images / best[way], best["usual"] / best[way], *found[way][0]["scores"]] for way in found
    ]
    table([f"{given.images} images", "seconds", "images a second", "ratio", "mIoU", "mIoU with the CRF"], rows)
    after_the_network(3 if given.quick else 20)


if __name__ == "__main__":
    command(main)

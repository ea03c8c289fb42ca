"""deeplab_lit.crf.compat beside pydensecrf2: the calls that public code bases make, on the same photographs.

Every time begins with the constructor and ends with the marginals; compilation, once per installation, is left out. The
two take turns on each image; ratios are pydensecrf2's time over ours. "Alone" is one thread of ours, as in a pool of
processes; else ours takes all cores, pydensecrf2 always takes one. Energies are of 21 labels unless the row says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import command, parser, photographs, table
from crf import from_mask

from deeplab_lit.crf import compat

Call = Callable[[Any, Any, np.ndarray], None]


def _diagonal(labels: int) -> np.ndarray:
    return -np.linspace(2, 6, labels).astype(np.float32)


def _matrix(labels: int) -> np.ndarray:
    return (0.2 - 4 * np.eye(labels)).astype(np.float32)


def _usual(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=1, compat=3)
    crf.addPairwiseBilateral(sxy=67, srgb=3, rgbim=image, compat=4)


def _irn(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10)


def _psa(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=10)


def _gaussian(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=3, compat=3)


def _tiny(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=0.5, compat=3)
    crf.addPairwiseBilateral(sxy=3, srgb=3, rgbim=image, compat=4)


def _three(package: Any, crf: Any, image: np.ndarray) -> None:
    _psa(package, crf, image)
    crf.addPairwiseBilateral(sxy=(20, 30), srgb=(20, 25, 30), rgbim=image, compat=2)


def _vectors(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=3, compat=_diagonal(21))
    crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=_diagonal(21))


def _matrices(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseGaussian(sxy=3, compat=_matrix(21))
    crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=_matrix(21))


def _features(package: Any, crf: Any, image: np.ndarray) -> None:
    crf.addPairwiseEnergy(compat.create_pairwise_bilateral((60, 60), (13,), image, 2), compat=10)


ROWS: dict[str, tuple[Call, int, int]] = {
    "kazuto's, 4, 67, 3 and 3, 1": (_usual, 21, 10),
    "IRN's, 2 labels present": (_irn, 2, 10),
    "PSA's and SEAM's, 10, 80, 13 and 3, 3": (_psa, 21, 10),
    "the same, one iteration": (_psa, 21, 1),
    "the same, 81 labels": (_psa, 81, 10),
    "the Gaussian term alone": (_gaussian, 21, 10),
    "tiny widths": (_tiny, 21, 10),
    "three terms, widths for each axis": (_three, 21, 10),
    "vectors for compat": (_vectors, 21, 10),
    "matrices for compat": (_matrices, 21, 10),
    "addPairwiseEnergy": (_features, 21, 10),
}


def _timed(
    package: Any, energies: np.ndarray, image: np.ndarray, row: tuple[Call, int, int], threads: int | None
) -> Any:
    call, labels, iterations = row
    start = time.perf_counter()
    crf = package.DenseCRF2D(image.shape[1], image.shape[0], labels)
    if package is compat:
        crf.threads = threads
    crf.setUnaryEnergy(energies)
    call(package, crf, image)
    found = np.array(crf.inference(iterations))
    return time.perf_counter() - start, found


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__, photographs=True)
    options.add_argument("--images", type=int, default=10)
    given = options.parse_args(arguments)
    import pydensecrf.densecrf as reference

    images = 1 if given.quick else given.images
    with photographs(given.root, images) as split:
        examples = [split[i] for i in range(len(split))]
    lines: list[list[object]] = []
    for name, row in list(ROWS.items())[: 2 if given.quick else None]:
        seconds: list[list[float]] = [[], [], []]
        equal, far = [], []
        for seed, example in enumerate(examples):
            mask = example.mask if row[1] >= 21 else (example.mask > 0).astype(np.uint8)
            energies = compat.unary_from_softmax(from_mask(mask, row[1], seed))
            if seed == 0:
                for threads in (None, 1):
                    _timed(compat, energies, example.image, row, threads)
            theirs, expected = _timed(reference, energies, example.image, row, None)
            ours, found = _timed(compat, energies, example.image, row, None)
            alone, _ = _timed(compat, energies, example.image, row, 1)
            for values, value in zip(seconds, (theirs, ours, alone), strict=True):
                values.append(value)
            equal.append((found.argmax(0) == expected.argmax(0)).mean())
            far.append(np.abs(found - expected))
        theirs, ours, alone = (sum(each) for each in seconds)
        ratios = sorted(a / b for a, b in zip(seconds[0], seconds[1], strict=True))
        differences = np.concatenate([each.ravel() for each in far])
        within, most = f"{(differences <= 1e-3).mean():.6f}", f"{differences.max():.1g}"
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        lines.append(
            [name, theirs / images, theirs / ours, spread, theirs / alone, f"{np.mean(equal):.6f}", within, most]
        )
    header = ["pydensecrf2, s", "ratio", "ratios", "ratio alone", "labels equal", "marginals within 1e-3", "farthest"]
    table([f"{images} images", *header], lines)


if __name__ == "__main__":
    command(main)

"""The table in docs/crf.md of what the normalisation and the image of the dense CRF do to the mIoU of trained networks.

python docs/crf_choices.py VOC2012 runs/NAME/RUN runs/NAME/RUN     # the runs of several seeds
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
from blocks import write_block
from numpy.typing import NDArray

import deeplab_lit
from deeplab_lit.crf.parameters import Normalization
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.data.voc import VOC
from deeplab_lit.inference.metrics import Scores, count_pairs
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.over_seeds import OverSeeds
from deeplab_lit.utils.progress import preparing

PAGE = Path(__file__).resolve().parent / "crf.md"
CLASSES = 21
PARAMETERS = (
    ("V2's ResNet-101, kazuto", (4, 67, 3, 3, 1)),
    ("V1's LargeFOV", (4, 121, 5, 3, 3)),
    ("PSA, SEAM, on pseudo-labels", (10, 80, 13, 3, 3)),
)
CHOICES: list[dict[str, Any]] = [{"normalization": each} for each in get_args(Normalization)]
CHOICES.append({"normalization": "symmetric", "image": "mean_subtracted_bgr"})
_MEAN_SUBTRACTED = "symmetric, mean-subtracted image"
Example = tuple[Bytes, Bytes, Floats]  # image, mask, probabilities


def matrices(example: Example) -> NDArray[np.int64]:
    """The confusion matrices of an image: of the network alone, then of each choice for each set of parameters."""
    image, mask, probabilities = example
    labels = [probabilities.argmax(0).astype(np.uint8)]
    for _, parameters in PARAMETERS:
        for choice in CHOICES:
            labels.append(deeplab_lit.DenseCRF(*parameters, **choice, threads=1).labels(image, probabilities))
    return np.stack([count_pairs(each, mask, CLASSES).reshape(CLASSES, CLASSES) for each in labels])


def scores(root: str, checkpoint: str) -> list[float]:
    """The mIoU in percent of each of :func:`matrices` over the validation images."""
    network, split = deeplab_lit.load(checkpoint), VOC(root).split("val")

    def work(place: int) -> NDArray[np.int64]:
        image, mask = read_image(split.images[place]), read_mask(split.masks[place])
        return matrices((image, mask, network.probabilities(image)))

    total = np.zeros((1 + len(PARAMETERS) * len(CHOICES), CLASSES, CLASSES), np.int64)
    with preparing() as progress, ThreadPoolExecutor(2) as pool:
        for done, each in enumerate(pool.map(work, range(len(split))), 1):
            total += each
            progress(f"{checkpoint}", done, len(split))
    return [100 * Scores.of(each).miou for each in total]


def table(found: list[list[float]]) -> str:
    """The network's mIoU, and a line of gains over it for each set of parameters, as mean and deviation."""
    alone = OverSeeds(dict(enumerate(each[0] for each in found)))
    names = [f"{each['normalization']}" for each in CHOICES[:-1]] + [_MEAN_SUBTRACTED]
    lines = [f"| parameters | of | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for row, (whose, parameters) in enumerate(PARAMETERS):
        places = range(1 + row * len(CHOICES), 1 + (row + 1) * len(CHOICES))
        gains = [OverSeeds({seed: each[place] - each[0] for seed, each in enumerate(found)}) for place in places]
        numbers = "{}, {}, {} / {}, {}".format(*parameters)
        lines.append(f"| {numbers} | {whose} | {' | '.join(each.as_gain for each in gains)} |")
    return f"The networks alone have {alone} %.\n\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="a folder in the VOC layout")
    parser.add_argument("checkpoints", nargs="+", help="run directories or checkpoints, one for each seed")
    told = parser.parse_args()
    text = table([scores(told.root, each) for each in told.checkpoints])
    print(text)
    write_block(PAGE, "choices", text)


if __name__ == "__main__":
    main()

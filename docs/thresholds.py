"""The table of thresholds in docs/weak_supervision.md, measured on images with true masks.

python docs/thresholds.py VOC2012                              # maps made of the masks of 150 images
python docs/thresholds.py VOC2012 --cams cams --tags tags.txt  # and those of examples/5_weak_supervision.ipynb
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from blocks import write_block
from numpy.typing import NDArray

from deeplab_lit.config.command_schemas import ScoreFilesConfig
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.image_tags import read_tags
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.mask_files import read_mask
from deeplab_lit.data.score_files import ScoreMaps, find_scores
from deeplab_lit.data.voc import VOC
from deeplab_lit.inference.cams import CAMFolder, CAMs
from deeplab_lit.inference.photographs import images_of
from deeplab_lit.inference.threshold_curve import ThresholdCurve
from deeplab_lit.inference.threshold_rule import automatic_threshold, separation_by_threshold
from deeplab_lit.utils.arrays import Bytes, Floats

PAGE = Path(__file__).resolve().parent / "weak_supervision.md"
CLASSES, IMAGES, STRIDE, DEFAULT = 21, 150, 4, 0.25
KINDS = {  # deviation of the blur in pixels, power of each value, whether a part of the object is high
    "little blurred": (4, 1.0, False),
    "blurred": (16, 1.0, False),
    "blurred, square root of each value": (16, 0.5, False),
    "blurred, square of each value": (16, 2.0, False),
    "high on a part of each object": (4, 1.0, True),
}
Example = tuple[Bytes, Bytes, CAMs, CAMs]  # image, mask, maps at the image's size, maps as they are


def made(mask: Bytes, kind: str, rng: np.random.Generator) -> ScoreMaps:
    """Maps (K, h, w) at stride 4 of the classes of a mask (H, W): blurred, with noise, from 0 to 1."""
    blur, power, part = KINDS[kind]
    classes = tuple(int(each) for each in np.setdiff1d(mask, [0, VOID]))
    size = (mask.shape[1] // STRIDE, mask.shape[0] // STRIDE)
    maps = np.zeros((len(classes), size[1], size[0]), np.float32)
    for place, each in enumerate(classes):
        full = (mask == each).astype(np.float32)
        if part:
            full *= _near_a_pixel(mask == each, rng)
        small = cv2.resize(cv2.GaussianBlur(full, (0, 0), blur), size, interpolation=cv2.INTER_AREA)
        noise = cv2.GaussianBlur(rng.normal(0, 1, small.shape).astype(np.float32), (0, 0), 3)
        small = np.clip(small / small.max() + 0.05 * noise / noise.std(), 0, None)
        maps[place] = (small / small.max()) ** power
    return ScoreMaps(classes, maps, 0.0, True)


def _near_a_pixel(inside: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """From 1 at a random pixel of an object down to 0.1, over half the root of the object's area."""
    rows, columns = np.nonzero(inside)
    chosen = rng.integers(len(rows))
    y, x = np.mgrid[: inside.shape[0], : inside.shape[1]]
    distance = np.hypot(y - rows[chosen], x - columns[chosen]) / (0.5 * np.sqrt(len(rows)))
    return (0.1 + 0.9 * np.exp(-0.5 * distance**2)).astype(np.float32)


def of_masks(root: str, kind: str) -> Iterator[Example]:
    """Images of the training split, evenly spaced, with maps that are made of their masks."""
    split, rng = VOC(root).split("train"), np.random.default_rng(0)
    for place in np.linspace(0, len(split) - 1, min(IMAGES, len(split))).astype(int):
        mask = read_mask(split.masks[place])
        scores = made(mask, kind, rng)
        yield read_image(split.images[place]), mask, CAMs.of(scores, mask.shape), CAMs.of(scores)


def of_files(root: str, cams: str, tags: str) -> Iterator[Example]:
    """Images with maps from files."""
    files = find_scores(cams, "cams")
    images = images_of(files, str(Path(root) / "JPEGImages"))
    form = ScoreFilesConfig(zero_is="foreground")
    folder = CAMFolder(files, images, form, CLASSES, read_tags(tags, "foreground", CLASSES))
    for name in files:
        image, small = folder.small(name)
        yield image, read_mask(Path(root) / "SegmentationClass" / f"{name}.png"), folder.read(name)[1], small


def line(name: str, examples: Iterator[Example]) -> str:
    """A line of the table: the best threshold, and what the default and the rule's cost against it."""
    curve, counts, separations = ThresholdCurve(CLASSES, [each / 200 for each in range(1, 200)]), [], []
    for image, mask, whole, small in examples:
        counts.append(curve.count(whole, mask))
        separations.append(separation_by_threshold(image, small.highest))
    for each in counts:
        curve.add(each)
    rule = automatic_threshold(separations)
    found = curve.result(rule, [DEFAULT])
    best, default, auto = found["best"], found["chosen"][0], found["without_truth"]
    at_best = f"{best['threshold']:.2f}, {100 * best['miou']:.1f} %"
    return f"| {name} | {at_best} | {100 * default['cost']:.1f} | {100 * auto['cost']:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="a folder in the VOC layout")
    parser.add_argument("--cams", help="class activation maps of its training images")
    parser.add_argument("--tags", help="the list of image tags")
    told = parser.parse_args()
    lines = ["| maps | best threshold, mIoU there | 0.25 costs | `threshold=auto` costs |", "|---|---|---|---|"]
    lines += [line(kind, of_masks(told.root, kind)) for kind in KINDS]
    if told.cams:
        lines.append(
            line("of a classifier (`examples/5_weak_supervision.ipynb`)", of_files(told.root, told.cams, told.tags))
        )
    table = "\n".join(lines)
    print(table)
    write_block(PAGE, "thresholds", table)


if __name__ == "__main__":
    main()

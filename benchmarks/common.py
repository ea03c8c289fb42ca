"""What the benchmarks share: photographs to work on, turns, and tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from deeplab_lit.data.image_files import write_mask
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.split import Split
from deeplab_lit.data.voc import VOC
from deeplab_lit.utils.errors import UserError


def parser(doc: str | None, photographs: bool = False) -> argparse.ArgumentParser:
    """A parser that explains itself with a module's docstring."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="the least that shows that it works; times mean nothing")
    if photographs:
        made.add_argument("--root", help="a folder in the VOC layout; pictures of noise are drawn if it is not given")
    return made


def command(main: Callable[[], None]) -> None:
    """Run a script; a user's mistake ends in one sentence."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")


@contextmanager
def photographs(
    root: str | None, count: int, split: str = "val", size: tuple[int, int] | None = None
) -> Iterator[Split]:
    """``count`` examples of a folder in the VOC layout, evenly spaced, or as many drawn ones of ``size`` (VOC's)."""
    if root:
        whole = VOC(root).split(split)
        step = max(1, len(whole) // count)
        chosen = range(0, len(whole), step)[:count]
        names = ([column[i] for i in chosen] for column in (whole.ids, whole.images, whole.masks))
        ids, images, masks = names
        yield Split(ids, images, masks, whole.num_classes)  # type: ignore[arg-type]
        return
    with tempfile.TemporaryDirectory() as folder:
        ids = [str(number) for number in range(count)]
        for number, id in enumerate(ids):
            image, mask = _drawn(number, size or (500, 375))
            Image.fromarray(image).save(Path(folder) / f"{id}.jpg", quality=92)
            write_mask(mask, LabelSet.voc().colours, Path(folder) / f"{id}.png")
        paths = [[Path(folder) / f"{id}.{ending}" for id in ids] for ending in ("jpg", "png")]
        yield Split(ids, *paths, 21)


def _drawn(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise of a width and height, and regions of five classes with void between them."""
    rng = np.random.default_rng(seed)
    coarse = [cv2.resize(rng.random((6 << k, 8 << k, 3), np.float32), size) / (k + 1) for k in range(5)]
    image = sum(coarse)
    regions = cv2.resize(rng.random((5, 6, 5), np.float32), size).argmax(2).astype(np.uint8) * 4
    edges = cv2.dilate(regions, np.ones((5, 5))) != cv2.erode(regions, np.ones((5, 5)))
    return (image / image.max() * 255).astype(np.uint8), np.where(edges, 255, regions).astype(np.uint8)


def best_in_turns(work: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """The least seconds of each, after one run that is not counted; they take turns, so that noise meets all."""
    best = dict.fromkeys(work, float("inf"))
    for each in work.values():
        each()
    for _ in range(runs):
        for name, each in work.items():
            best[name] = min(best[name], timed(each))
    return best


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table; floats with three digits that count."""
    print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in row)} |")
    print(flush=True)

"""CRF search: the papers' search for its parameters, on cached probabilities (V1, section 5; V2, section 4.1.1)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from deeplab_lit.config.command_schemas import CRFSearchConfig
from deeplab_lit.config.identity import CRF_SEARCH, deciding_of_use
from deeplab_lit.config.schemas import DenseCRFConfig
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.split import Split
from deeplab_lit.inference.coarse_to_fine import Point, coarse_to_fine, steps
from deeplab_lit.inference.evaluation_charts import search_heat_map
from deeplab_lit.inference.inputs import open_network, open_split, run_name, workers
from deeplab_lit.inference.metrics import Scores, count_pairs
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import replacing, write_json, write_text
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import Progress, preparing

NAMES = ("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std")


class Cached:
    """Images of a split with the network's probabilities, which are kept in a folder as float16.

    Args:
        split: the examples.
        indices: the indices of the images in ``split``.
        folder: the folder that holds ID.npy for each image once :meth:`fill` has run.
        num_classes: the number of classes of the split.
        pool: the threads for the CRF.
        device: of the CRF, as :class:`deeplab_lit.crf.DenseCRF` takes it.
    """

    def __init__(
        self, split: Split, indices: Sequence[int], folder: Path, num_classes: int, pool: Executor, device: str
    ) -> None:
        self._split, self._indices, self._folder = split, list(indices), folder
        self._num_classes, self._pool, self._device = num_classes, pool, device

    def _file(self, index: int) -> Path:
        return self._folder / f"{self._split.ids[index]}.npy"

    def fill(self, predictor: Predictor, threads: int, progress: Progress) -> None:
        """Write the probabilities of the images that have no file yet."""
        missing = [index for index in self._indices if not self._file(index).is_file()]
        progress("probabilities", 0, len(missing))
        for done, example in enumerate(ahead(self._split.__getitem__, missing, threads), 1):
            found = predictor.probabilities(example.image).astype(np.float16)
            with replacing(self._file(missing[done - 1]), sync=False) as temporary:
                np.save(temporary, found)
            progress("probabilities", done, len(missing))

    def miou(self, config: DenseCRFConfig | None) -> float:
        """The mIoU over all images with the CRF of ``config``; None: without a CRF."""
        crf = None if config is None else build_crf(config, threads=1, device=self._device)

        def counts(index: int) -> NDArray[np.int64]:
            example = self._split[index]
            probabilities = np.load(self._file(index)).astype(np.float32)
            labels = (
                probabilities.argmax(0).astype(np.uint8) if crf is None else crf.labels(example.image, probabilities)
            )
            return count_pairs(labels, example.mask, self._num_classes)

        return Scores.of(sum(self._pool.map(counts, self._indices), np.zeros((), np.int64))).miou


def crf_search(config: CRFSearchConfig, command: str) -> dict[str, Any]:
    """Search parameters on some images, score the best ones on other images, and write a preset.

    A search that was interrupted continues from its saved scores.

    Args:
        config: the config of the command.
        command: the command line that the user typed.

    Returns:
        The content of result.json.

    Raises:
        UserError: a value of the config is wrong.
    """
    if not isinstance(config.crf, DenseCRFConfig):
        raise UserError("crf=none has no parameters to search: choose crf=v2_resnet101, whose other values are held.")
    start = config.crf
    axes = [_axis(name, getattr(config, name)) for name in NAMES]
    threads = workers(config.workers)
    with preparing() as progress, ThreadPoolExecutor(threads) as pool:
        trained, predictor = open_network(config)
        labels, split = open_split(trained, config, progress)
        folder = Path(config.output).expanduser() / run_name(config.checkpoint) / _key(config, trained.step)
        seen, others = _parts(len(split), config)
        cache = folder / "probabilities"
        inside, outside = (Cached(split, each, cache, len(labels), pool, config.device) for each in (seen, others))
        for part in (inside, outside):
            part.fill(predictor, threads, progress)
        ledger = _Ledger(folder / "scores.csv")
        tried = 0

        def score(point: Point) -> float:
            nonlocal tried
            tried += 1
            if point not in ledger.scores:
                ledger.add(point, inside.miou(_at(start, point)))
            progress("parameters", tried, max(tried, planned))
            return ledger.scores[point]

        planned = 0

        def stage(stride: int, new: int) -> None:
            nonlocal planned
            planned += new
            progress("parameters", tried, planned)

        best, scores = coarse_to_fine(axes, score, stage)
        found = _at(start, best)
        result = {
            **dict(zip(NAMES, best, strict=True)),
            "searched_on": {"images": len(seen), **_both(inside, found, start, scores[best])},
            "held_out": {"images": len(others), **_both(outside, found, start, None)} if others else None,
            "points": len(scores),
            "of": int(np.prod([len(axis) for axis in axes])),
            "checkpoint": config.checkpoint,
            "data": config.data or trained.data,
            "command": command,
        }
    preset = folder / "crf" / f"{config.preset}.yaml"
    _write_preset(found, preset, f"{scores[best]:.4f} mIoU on the {len(seen)} images of a search; {command}")
    _draw(scores, axes, folder / "search.png")
    write_json(folder / "result.json", result)
    _show(result, folder, preset)
    for name, axis, value in zip(NAMES, axes, best, strict=True):
        if len(axis) > 1 and value in (axis[0], axis[-1]):
            print(
                f"note: {name}={value:g} is at the end of its range: a wider one may hold better, "
                f"{name}=[LOW,HIGH,STEP]"
            )
    return result


def _axis(name: str, given: Sequence[float]) -> list[float]:
    if len(given) != 3 or given[2] <= 0 or given[1] < given[0]:
        raise UserError(f"{name}={list(given)}: give [LOWEST,HIGHEST,STEP], such as {name}=[3,6,1].")
    return steps(*given)


def _key(config: CRFSearchConfig, step: int) -> str:
    """A digest of everything that decides the scores, which names the folder of the search."""
    text = json.dumps([deciding_of_use(config, CRF_SEARCH), step], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _parts(count: int, config: CRFSearchConfig) -> tuple[list[int], list[int]]:
    """The indices of the searched and of the held-out images; a split too small for both is searched on half of it."""
    if config.images < 1 or config.held_out < 0:
        raise UserError(f"images={config.images}, held_out={config.held_out}: at least 1, and 0 or more.")
    order = np.random.default_rng(config.seed).permutation(count).tolist()
    seen = config.images if config.images + config.held_out <= count else min(config.images, max(1, count // 2))
    if config.held_out == 0:
        seen = min(config.images, count)
    return sorted(order[:seen]), sorted(order[seen : seen + config.held_out])


def _at(start: DenseCRFConfig, point: Point) -> DenseCRFConfig:
    weight, xy_std, rgb_std = point
    return replace(start, bilateral_weight=weight, bilateral_xy_std=xy_std, bilateral_rgb_std=rgb_std)


def _both(part: Cached, found: DenseCRFConfig, start: DenseCRFConfig, known: float | None) -> dict[str, float]:
    return {
        "without_crf": part.miou(None),
        "before_the_search": part.miou(start),
        "found": part.miou(found) if known is None else known,
    }


class _Ledger:
    """The scores of the points evaluated so far, in a CSV file that an interrupted search leaves to the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.scores: dict[Point, float] = {}
        if path.is_file():
            rows = list(csv.reader(io.StringIO(path.read_text())))[1:]
            self.scores = {tuple(float(each) for each in row[:-1]): float(row[-1]) for row in rows}

    def add(self, point: Point, value: float) -> None:
        self.scores[point] = value
        lines = [",".join([*NAMES, "miou"])]
        lines += [",".join(str(each) for each in (*key, score)) for key, score in self.scores.items()]
        write_text(self._path, "\n".join(lines) + "\n")


def _write_preset(found: DenseCRFConfig, path: Path, comment: str) -> None:
    values = {key: value for key, value in asdict(found).items() if key not in ("name", "trainable")}
    text = OmegaConf.to_yaml(OmegaConf.create(values))
    write_text(path, f"# {comment}\ndefaults: [/schema/dense_crf@_here_, _self_]\n{text}")


def _draw(scores: dict[Point, float], axes: Sequence[Sequence[float]], path: Path) -> None:
    grid = np.full((len(axes[1]), len(axes[2])), np.nan)
    for point, value in scores.items():
        place = axes[1].index(point[1]), axes[2].index(point[2])
        grid[place] = np.nanmax([grid[place], value])
    search_heat_map(grid, (NAMES[1], axes[1]), (NAMES[2], axes[2]), path)


def _show(result: dict[str, Any], folder: Path, preset: Path) -> None:
    values = ", ".join(f"{name} {result[name]:g}" for name in NAMES)
    print(f"best of {result['points']} points looked at ({result['of']} in the grid): {values}")
    for part in ("searched_on", "held_out"):
        if result[part]:
            each = result[part]
            print(
                f"{part.replace('_', ' ')} ({each['images']} images): mIoU {each['without_crf']:.4f} without a CRF, "
                f"{each['before_the_search']:.4f} with the values it began with, {each['found']:.4f} with these"
            )
    print(f"results: {folder}\nuse it: --config-dir {folder} crf={preset.stem}")

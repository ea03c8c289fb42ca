"""Pseudo-labels: masks made of class activation maps, on all cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from deeplab_lit.config.command_schemas import PseudoConfig
from deeplab_lit.config.identity import PSEUDO_LABELS
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.background_scores import AUTO, BackgroundMethod, background_method
from deeplab_lit.data.class_list import classes_of
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.image_tags import check_tags, read_tags
from deeplab_lit.data.labels import VOID
from deeplab_lit.data.mask_files import MaskCoding, read_mask
from deeplab_lit.data.score_files import WrongForm, find_scores
from deeplab_lit.inference.cam_masks import mask_and_confidence, mask_between, mask_of
from deeplab_lit.inference.cams import CAMFolder, refuse_background_first
from deeplab_lit.inference.distributions import read_distribution
from deeplab_lit.inference.inputs import workers
from deeplab_lit.inference.made_masks import MadeMasks
from deeplab_lit.inference.output_folder import Outputs, conclude, fill
from deeplab_lit.inference.photographs import images_of
from deeplab_lit.inference.threshold_curve import Counts, ThresholdCurve, write_curve
from deeplab_lit.inference.threshold_rule import automatic_threshold, separation_by_threshold
from deeplab_lit.inference.unusable_files import look_at_first
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import own_shard


def pseudo(config: PseudoConfig) -> None:
    """Make masks of activation maps, all or those of a shard; a call with the same settings continues an earlier one.

    An image and its maps have the same name. Images without maps are ignored. At the end the names of all masks in the
    folder are written as a list. With true masks, the first shard writes the curve of the mIoU over thresholds.

    Args:
        config: the config of the command, after
            :func:`deeplab_lit.data.background_scores.check_pseudo`.

    Raises:
        UserError: the config is wrong, or some files could not be used; the others are written first.
    """
    method, crf, threads = background_method(config), build_crf(config.crf, threads=1), workers(config.workers)
    shard = own_shard(config.shard)
    labels, coding = classes_of(config.classes)
    files = find_scores(config.cams, "cams")
    images = images_of(files, config.images)
    tags = None if config.tags is None else read_tags(config.tags, config.tags_zero_is, len(labels))
    if tags is not None:
        check_tags(tags, files, str(config.tags))
    zero_is = config.zero_is or ("background" if method.name == "given" else "foreground")
    folder = CAMFolder(files, images, replace(config, zero_is=zero_is), len(labels), tags)
    exact = len(labels) if config.classes is not None else None
    _look_at_first(folder, config, exact)
    truth = {} if config.masks is None else _true_masks(Path(config.masks).expanduser(), folder)
    rule = _ruled(folder, threads) if truth or AUTO in method.values.values() else None
    if AUTO in method.values.values():
        if rule is None:
            raise UserError(
                "threshold=auto finds none: in each image the maps, or the colours, are all equal; type a number, such "
                "as threshold=0.25."
            )
        method = BackgroundMethod(method.name, {"threshold": rule})
        print(f"threshold=auto: {rule:g}")
    settings = {key: value for key, value in asdict(config).items() if key in PSEUDO_LABELS} | method.values
    out = Outputs(config.out, labels, settings, config.overlays, False, config.overwrite, config.confidence)
    if truth and shard.index == 1:
        _write_curve(folder, truth, coding, rule, method, out.folder, threads)
    make, made = _maker(folder, method, crf, config, exact), MadeMasks()

    def work(name: str) -> None:
        image, mask, confidence = make(name)
        out.write(name, image, mask, None, confidence)
        made.add(mask)

    filled = fill(out, {name: files[name] for name in shard.of(list(files))}, work, "making masks", threads)
    out.write_list(files)
    conclude(filled, out.folder, shard, made.lines(tags, files, config))


def _look_at_first(folder: CAMFolder, config: PseudoConfig, exact: int | None) -> None:
    """Raise UserError if some files are not what the keys say, before anything is written."""
    if config.background == "given":
        look_at_first(folder.files, lambda name: _given(folder, name, exact))
        return
    seen = look_at_first(folder.files, folder.scores)
    if config.zero_is is None and folder.tags is None:
        refuse_background_first(seen)


def _given(folder: CAMFolder, name: str, exact: int | None) -> tuple[Bytes, Floats]:
    """An image and the probabilities (C, H, W) of its file; ``exact`` is C, None: as many as the file has.

    Raises:
        UserError: the file does not hold them, or those of more classes than there are.
    """
    image = read_image(folder.images[name])
    scores = read_distribution(folder.files[name], (image.shape[0], image.shape[1]), folder.form, exact)
    if len(scores) > folder.classes:
        raise WrongForm(
            f"it has {len(scores)} classes, and VOC has {folder.classes}: give the class list, classes=FILE."
        )
    return image, scores


Make = Callable[[str], tuple[Bytes, Bytes, Floats | None]]


def _maker(
    folder: CAMFolder, method: BackgroundMethod, crf: DenseCRF | None, config: PseudoConfig, exact: int | None
) -> Make:
    """A function from the name of an image to the image, its mask and the confidence of each pixel if it is wanted."""

    def finished(image: Bytes, scores: Floats, classes: Bytes) -> tuple[Bytes, Bytes, Floats | None]:
        if config.confidence:
            return image, *mask_and_confidence(image, scores, classes, crf, config.uncertain)
        return image, mask_of(image, scores, classes, crf, config.uncertain), None

    def of_probabilities(name: str) -> tuple[Bytes, Bytes, Floats | None]:
        image, scores = _given(folder, name, exact)
        kept = np.arange(len(scores), dtype=np.uint8)
        if folder.tags is not None:
            kept = kept[np.isin(kept, [0, *folder.tags[name]])]
        image, mask, confidence = finished(image, scores[kept], kept)
        if folder.files[name].suffix == ".png" and (crf is None or len(kept) == 1):
            mask[read_mask(folder.files[name]) == VOID] = VOID  # nothing has found their classes
        return image, mask, confidence

    def of_cams(name: str) -> tuple[Bytes, Bytes, Floats | None]:
        image, cams = folder.read(name)
        scores = np.concatenate([method.score(cams.highest)[None], cams.maps])
        return finished(image, scores, cams.classes)

    def of_two_thresholds(name: str) -> tuple[Bytes, Bytes, None]:
        image, cams = folder.read(name)
        lower, higher = sorted(method.thresholds())
        return image, mask_between(image, cams, higher, lower, crf), None

    return {"given": of_probabilities, "two_thresholds": of_two_thresholds}.get(method.name, of_cams)


def _true_masks(given: Path, folder: CAMFolder) -> dict[str, Path]:
    found = {name: given / f"{name}.png" for name in folder.files if (given / f"{name}.png").is_file()}
    if not found:
        raise UserError(f"masks={given} has no NAME.png of any image in {next(iter(folder.files.values())).parent}.")
    return found


def _ruled(folder: CAMFolder, threads: int) -> float | None:
    """The threshold that the rule finds for the activation maps of all images, if it finds one."""

    def separation(name: str) -> Any:
        try:
            image, cams = folder.small(name)
        except UserError:  # the pass that makes the masks says it
            return 0
        return separation_by_threshold(image, cams.highest)

    with preparing() as progress:
        progress("finding a threshold", 0, len(folder.files))

        def separations() -> Any:
            for done, each in enumerate(ahead(separation, folder.files, threads), 1):
                progress("finding a threshold", done, len(folder.files))
                yield each

        return automatic_threshold(separations())


def _write_curve(
    folder: CAMFolder,
    truth: dict[str, Path],
    coding: MaskCoding,
    rule: float | None,
    method: BackgroundMethod,
    out: Path,
    threads: int,
) -> None:
    chosen = method.thresholds()
    curve = ThresholdCurve(folder.classes, [*chosen, *([] if rule is None else [rule])])

    def count(name: str) -> Counts | None:
        mask = read_mask(truth[name], coding)
        try:
            _, cams = folder.read(name, (mask.shape[0], mask.shape[1]))
        except UserError:  # the pass that makes the masks says it
            return None
        try:
            return curve.count(cams, mask)
        except UserError as error:
            raise UserError(f"{truth[name]}: {error}") from error

    with preparing() as progress:
        progress("comparing thresholds", 0, len(truth))
        for done, counts in enumerate(ahead(count, truth, threads), 1):
            if counts is not None:
                curve.add(counts)
            progress("comparing thresholds", done, len(truth))
    result = curve.result(rule, chosen)
    write_curve(result, out)
    best = result["best"]
    print(
        f"before the CRF, {result['images']} images: the best threshold is {best['threshold']:g} (alpha "
        f"{best['alpha']:.3g}), mIoU {best['miou']:.4f}"
    )
    for name, points in (("the rule without true masks", [result["without_truth"]]), ("these masks", result["chosen"])):
        for point in (each for each in points if each):
            print(f"{name}: threshold {point['threshold']:g}, mIoU {point['miou']:.4f}, {point['cost']:.4f} less")

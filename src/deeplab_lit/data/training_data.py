"""Training data of a config: the data module, and the class weights of the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.data.base import Layout
from deeplab_lit.data.data_normalization import of_data
from deeplab_lit.data.datamodule import SegmentationData
from deeplab_lit.data.decoded_cache import DecodedCache, decoded_folder
from deeplab_lit.data.frequencies import inverse_root, median_frequency, pixel_counts, repeat_factors
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.source import open_source
from deeplab_lit.data.transforms import EvalTransform, TrainTransform, extra_transforms
from deeplab_lit.data.unseen_classes import unseen_classes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.progress import Progress

WEIGHTINGS = {"median_frequency": median_frequency, "inverse_root": inverse_root}


def build_data(config: TrainConfig, normalization: Normalization, progress: Progress | None = None) -> SegmentationData:
    """The data module of a config.

    Args:
        config: of the training.
        normalization: of the weights that the training starts from.
        progress: told how many files are done.

    Raises:
        UserError: as :func:`open_source` and :func:`of_data`; or a listed file does not exist; or one of the examples
            that are read as a check is bad.
    """
    source: Layout = open_source(config.data, progress)
    normalization = of_data(normalization, source, progress)
    augment = config.augment
    train_transform = TrainTransform(
        config.crop_size,
        normalization,
        tuple(augment.scale_range) if augment.scale_range else None,  # type: ignore[arg-type]
        augment.scale_list,
        augment.flip,
        extra_transforms(augment.extra, source.pixels),
    )
    assert config.batch_size and config.eval_batch_size and config.num_workers is not None  # the plan has settled them
    data = SegmentationData(
        source,
        train_transform,
        EvalTransform(config.eval_size, normalization),
        config.batch_size,
        config.eval_batch_size,
        config.num_workers,
        config.seed,
        normalization,
    )
    if config.loss.pixel_weights is not None:
        data.train_split.weigh(Path(config.loss.pixel_weights).expanduser())
    splits = (data.train_split, data.val_split)
    if config.decoded_gb:
        files = {pair: split.coding for split in splits for pair in zip(split.images, split.masks, strict=True)}
        kept = DecodedCache(decoded_folder(), int(config.decoded_gb * 1e9), files, len(data.labels), source.pixels)
        for split in splits:
            split.decoded = kept
    for split in splits:
        # a few examples are read, so that a wrong class list or a bad file is found before the network is built
        for index in range(0, len(split), max(1, len(split) // 16)):
            split[index]
    data.unseen = unseen_classes(data.train_split, data.labels)
    if config.sampling == "rare_classes":
        data.weights = repeat_factors(pixel_counts(data.train_split, progress))
    return data


def class_weights(chosen: Any, data: SegmentationData, progress: Progress | None = None) -> list[float] | None:
    """The weight of each class in the loss (C,); None for ``"none"``.

    Args:
        chosen: ``"none"``, one of :data:`WEIGHTINGS`, or a number for each class.
        data: the data module whose training masks are counted.
        progress: told how many masks are counted.

    Raises:
        UserError: ``chosen`` is unknown, or a list that does not fit the classes.
    """
    if chosen == "none":
        return None
    if isinstance(chosen, list):
        if len(chosen) != len(data.labels) or not all(isinstance(each, (int, float)) and each >= 0 for each in chosen):
            raise UserError(
                f"loss.class_weights has {len(chosen)} entries for {len(data.labels)} classes: give one number, 0 or "
                "more, for each class."
            )
        return [float(each) for each in chosen]
    if chosen not in WEIGHTINGS:
        raise UserError(f"loss.class_weights={chosen!r}: choose none, {', '.join(WEIGHTINGS)}, or give a list.")
    return WEIGHTINGS[chosen](pixel_counts(data.train_split, progress)).tolist()

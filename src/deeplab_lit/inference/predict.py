"""Prediction of labels for images: index PNGs, overlays, probabilities, a package for the VOC server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from deeplab_lit.config.command_schemas import PredictConfig
from deeplab_lit.config.identity import PREDICTION
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.base import read_list
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.inputs import open_network, workers
from deeplab_lit.inference.output_folder import Filled, Outputs, conclude
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.inference.unusable_files import Fault
from deeplab_lit.inference.voc_server import pack, validate
from deeplab_lit.utils.arrays import Bytes, Floats
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import own_shard


def predict(config: PredictConfig) -> None:
    """Predict the labels of images, all or those of a shard; a call with the same settings continues an earlier one.

    Args:
        config: the config of the command.

    Raises:
        UserError: the config is wrong, or some files could not be read; the others are written first.
    """
    if config.format not in ("png", "voc_server"):
        raise UserError(f"format={config.format!r}: choose png or voc_server.")
    if config.comp not in (5, 6):
        raise UserError(f"comp={config.comp}: 6, trained on data other than VOC's too, or 5, on VOC's alone.")
    shard = own_shard(config.shard)
    if shard.count > 1 and config.format == "voc_server" and config.overwrite:
        raise UserError(
            "format=voc_server with overwrite=true cannot tell the labels of other shards from old ones: choose "
            "another out=FOLDER, without overwrite=true."
        )
    images = find_images(config.images)
    if config.list is not None:
        images = _listed(images, Path(config.list).expanduser())
    if config.validate is not None:
        validate(Path(config.validate).expanduser(), images, LabelSet.voc(), config.comp)
        print(f"{config.validate}: fit for the server, {len(images)} images")
        return
    crf = build_crf(config.crf, threads=1, device=config.device)
    trained, predictor = open_network(config)
    if config.format == "voc_server" and trained.labels.names != LabelSet.voc().names:
        raise UserError(
            f"format=voc_server takes VOC's 21 classes, this checkpoint scores "
            f"{', '.join(trained.labels.names[:4])}, ..."
        )
    settings = {key: value for key, value in asdict(config).items() if key in PREDICTION} | {"step": trained.step}
    out = Outputs(config.out, trained.labels, settings, config.overlays, config.probabilities, config.overwrite)
    names = shard.of(list(images))
    there = {name: images[name] for name in names if out.is_done(name)}
    waiting = {name: images[name] for name in names if name not in there}
    faults = _run(waiting, predictor, crf, out, workers(config.workers))
    if config.format == "voc_server" and not faults:
        _package(out, images, trained.labels, config.comp)
    conclude(Filled(len(waiting) - len(faults), len(there), out.outdated(there), faults), out.folder, shard)


def _package(out: Outputs, images: dict[str, Path], labels: LabelSet, comp: int) -> None:
    """Pack the labels for the server if those of all images are there; the shard that ends last finds them all."""
    missing = sum(not out.path("masks", name).is_file() for name in images)
    if missing:
        print(
            f"no package yet, {missing} of {len(images)} images have no labels: the shard that writes the last ones "
            "packs them; if it was stopped, type the same command without shard."
        )
        return
    with one_at_a_time(out.folder / "results.tar.gz"):
        package = pack(out, images, comp)
        validate(package, images, labels, comp)
    print(f"package for the server, checked: {package}")


def _listed(images: dict[str, Path], file: Path) -> dict[str, Path]:
    if not file.is_file():
        raise UserError(f"list={file} does not exist: give a text file with one id a line.")
    ids = read_list(file)
    missing = [id for id in ids if id not in images]
    if missing:
        raise UserError(f"{file} names {missing[0]!r}, for which there is no image ({len(missing)} such in all).")
    return {id: images[id] for id in ids}


def _run(
    images: dict[str, Path], predictor: Predictor, crf: DenseCRF | None, out: Outputs, threads: int
) -> list[Fault]:
    """Predict and write the labels of images; return the files that could not be read."""
    bad: list[Fault] = []

    def read(item: tuple[str, Path]) -> tuple[str, Bytes | UserError]:
        try:
            return item[0], read_image(item[1])
        except UserError as error:
            return item[0], error

    def forward() -> Iterator[tuple[str, Bytes, Bytes | None, Floats | None]]:
        for name, image in ahead(read, images.items(), threads):
            if isinstance(image, UserError):
                bad.append(Fault(name, str(image)))
            elif predictor.fits(image) or out.keeps_probabilities:
                yield name, image, None, predictor.probabilities(image)
            else:  # the probabilities of the whole image are never in memory
                yield name, image, predictor.labels_in_windows(image, crf), None

    def finish(item: tuple[str, Bytes, Bytes | None, Floats | None]) -> None:
        name, image, labels, probabilities = item
        if probabilities is not None:
            if crf is not None:
                probabilities = crf(image, probabilities)
            labels = probabilities.argmax(0).astype(np.uint8)
        assert labels is not None
        out.write(name, image, labels, probabilities)

    with preparing() as progress:
        progress("predicting", 0, len(images))
        for done, _ in enumerate(ahead(finish, forward(), threads), 1):
            progress("predicting", done + len(bad), len(images))
    return bad

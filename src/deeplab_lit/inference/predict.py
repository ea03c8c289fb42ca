"""Prediction of labels for images: index PNGs, overlays, probabilities, a package for a test server."""

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
from deeplab_lit.data.channel_files import read_pixels
from deeplab_lit.data.cityscapes import CITYSCAPES
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference import cityscapes_server, voc_server
from deeplab_lit.inference.inputs import open_network, workers
from deeplab_lit.inference.output_folder import Filled, Outputs, conclude
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.inference.server_package import Server
from deeplab_lit.inference.unusable_files import Fault
from deeplab_lit.utils.arrays import Bytes, Floats, Pixels
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.locks import one_at_a_time
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import own_shard

_SERVERS = {
    "voc_server": Server(
        "VOC",
        LabelSet.voc(),
        "results.tar.gz",
        lambda images: None,
        voc_server.pack,
        lambda package, images, comp: voc_server.validate(package, images, LabelSet.voc(), comp),
    ),
    "cityscapes_server": Server(
        "Cityscapes",
        CITYSCAPES,
        "results.zip",
        cityscapes_server.check_images,
        lambda out, images, file, comp: cityscapes_server.pack(out, images, file),
        lambda package, images, comp: cityscapes_server.validate(package, images),
    ),
}


def predict(config: PredictConfig) -> None:
    """Predict the labels of images, all or those of a shard; a call with the same settings continues an earlier one.

    Args:
        config: the config of the command.

    Raises:
        UserError: the config is wrong, or some files could not be read; the others are written first.
    """
    if config.format not in ("png", *_SERVERS):
        raise UserError(f"format={config.format!r}: choose png, {' or '.join(_SERVERS)}.")
    if config.comp not in (5, 6):
        raise UserError(f"comp={config.comp}: 6, trained on data other than VOC's too, or 5, on VOC's alone.")
    shard = own_shard(config.shard)
    server = _SERVERS.get(config.format)
    if shard.count > 1 and server is not None and config.overwrite:
        raise UserError(
            f"format={config.format} with overwrite=true cannot tell the labels of other shards from old ones: choose "
            "another out=FOLDER, without overwrite=true."
        )
    images = find_images(config.images)
    if config.list is not None:
        images = _listed(images, Path(config.list).expanduser())
    if server is not None:
        server.check_images(images)
    if config.validate is not None:
        (server or _SERVERS["voc_server"]).validate(Path(config.validate).expanduser(), images, config.comp)
        print(f"{config.validate}: fit for the server, {len(images)} images")
        return
    crf = build_crf(config.crf, threads=1, device=config.device)
    trained, predictor = open_network(config)
    if server is not None and trained.labels.names != server.labels.names:
        raise UserError(
            f"format={config.format} takes {server.of}'s {len(server.labels)} classes, this checkpoint scores "
            f"{', '.join(trained.labels.names[:4])}, ..."
        )
    settings = {key: value for key, value in asdict(config).items() if key in PREDICTION} | {"step": trained.step}
    out = Outputs(config.out, trained.labels, settings, config.overlays, config.probabilities, config.overwrite)
    names = shard.of(list(images))
    there = {name: images[name] for name in names if out.is_done(name)}
    waiting = {name: images[name] for name in names if name not in there}
    faults = _run(waiting, predictor, crf, out, workers(config.workers))
    if server is not None and not faults:
        _package(out, images, server, config.comp)
    conclude(Filled(len(waiting) - len(faults), len(there), out.outdated(there), faults), out.folder, shard)


def _package(out: Outputs, images: dict[str, Path], server: Server, comp: int) -> None:
    """Pack the labels for the server if those of all images are there; the shard that ends last finds them all."""
    missing = sum(not out.path("masks", name).is_file() for name in images)
    if missing:
        print(
            f"no package yet, {missing} of {len(images)} images have no labels: the shard that writes the last ones "
            "packs them; if it was stopped, type the same command without shard."
        )
        return
    package = out.folder / server.file
    with one_at_a_time(package):
        server.pack(out, images, package, comp)
        server.validate(package, images, comp)
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

    def read(item: tuple[str, Path]) -> tuple[str, Pixels | UserError]:
        try:
            return item[0], read_pixels(item[1], predictor.pixels)
        except UserError as error:
            return item[0], error

    def forward() -> Iterator[tuple[str, Pixels, Bytes | None, Floats | None]]:
        for name, image in ahead(read, images.items(), threads):
            if isinstance(image, UserError):
                bad.append(Fault(name, str(image)))
            elif not out.keeps_probabilities and crf is None:
                yield name, image, predictor.labels(image), None
            elif out.keeps_probabilities or predictor.refined_whole(image):
                yield name, image, None, predictor.probabilities(image, by_window(image))
            else:  # the probabilities of the whole image are never in memory
                yield name, image, predictor.labels_in_windows(image, crf), None

    def by_window(image: Pixels) -> DenseCRF | None:
        return None if predictor.refined_whole(image) else crf

    def finish(item: tuple[str, Pixels, Bytes | None, Floats | None]) -> None:
        name, image, labels, probabilities = item
        if probabilities is not None:
            if crf is not None and predictor.refined_whole(image):
                probabilities = crf(image, probabilities)
            labels = probabilities.argmax(0).astype(np.uint8)
        assert labels is not None
        out.write(name, image, labels, probabilities)

    with preparing() as progress:
        progress("predicting", 0, len(images))
        for done, _ in enumerate(ahead(finish, forward(), threads), 1):
            progress("predicting", done + len(bad), len(images))
    return bad

"""Refinement of saved probabilities of any network by the CRF, on all cores."""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab_lit.config.command_schemas import RefineConfig
from deeplab_lit.config.identity import REFINEMENT
from deeplab_lit.crf.presets import build_crf
from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.image_files import read_image
from deeplab_lit.data.labels import VOID, LabelSet
from deeplab_lit.inference.inputs import workers
from deeplab_lit.inference.output_folder import Outputs, conclude
from deeplab_lit.inference.photographs import find_images
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.parallel import ahead
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.shards import own_shard


def refine(config: RefineConfig) -> None:
    """Refine saved probabilities, all or those of a shard; a call with the same settings continues an earlier one.

    An image and its probabilities have the same name. Images without probabilities are ignored.

    Args:
        config: the config of the command.

    Raises:
        UserError: the config is wrong, or some files could not be used; the others are written first.
    """
    crf = build_crf(config.crf, threads=1)
    if crf is None:
        raise UserError("crf=none refines nothing: choose crf=v1_largefov, v2_vgg16 or v2_resnet101.")
    saved, images = _saved(Path(config.probabilities).expanduser()), find_images(config.images)
    alone = sorted(saved.keys() - images.keys())
    if alone:
        raise UserError(f"{saved[alone[0]]} has no image of that name in {config.images} ({len(alone)} such in all).")
    labels = _labels(config.classes)
    settings = {key: value for key, value in asdict(config).items() if key in REFINEMENT}
    out = Outputs(config.out, labels, settings, config.overlays, config.save_probabilities, config.overwrite)
    names = own_shard(config.shard).of(list(saved))
    waiting = [name for name in names if not out.is_done(name)]

    def work(name: str) -> str | None:
        try:
            image = read_image(images[name])
            probabilities = read_probabilities(saved[name], (image.shape[0], image.shape[1]))
            if len(probabilities) != len(labels) and config.classes is not None:
                raise UserError(f"it has {len(probabilities)} classes, {config.classes} has {len(labels)}.")
            refined = crf(image, probabilities)
        except UserError as error:
            return f"{saved[name]}: {error}"
        out.write(name, image, refined.argmax(0).astype(np.uint8), refined)
        return None

    bad = []
    with preparing() as progress:
        progress("refining", 0, len(waiting))
        for done, fault in enumerate(ahead(work, waiting, workers(config.workers)), 1):
            bad += [fault] if fault else []
            progress("refining", done, len(waiting))
    conclude(len(waiting) - len(bad), len(names) - len(waiting), bad, out.folder)


def _saved(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"probabilities={folder} is not a folder: give one that holds NAME.npy or NAME.npz.")
    found: dict[str, Path] = {}
    for file in sorted([*folder.rglob("*.npy"), *folder.rglob("*.npz")]):
        if file.name.startswith("."):  # left by a process that was killed while it wrote
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {file} are both probabilities of {name}: take one away.")
        found[name] = file
    if not found:
        raise UserError(f"probabilities={folder} holds no .npy or .npz file.")
    return found


def read_probabilities(path: Path, size: tuple[int, int]) -> Floats:
    """The probabilities, float32 (C, H, W), of a .npy file, or of a .npz file.

    A .npz file has one array, or one named ``probabilities``. The array is float16, float32, float64, or uint8 from 0
    to 255. The result is scaled to add up to 1 over the classes, since rounding changes the sum.

    Args:
        path: the file.
        size: (H, W) of the image; an array (H, W, C) is transposed.

    Raises:
        UserError: the file is no such file, has another size, or holds values that are no probabilities.
    """
    try:
        values = _array(path, size[0] * size[1] * VOID * 8 + 4096)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes NumPy and zlib raise errors of many types
        words = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"it cannot be read as an array ({words[0]}).") from error
    if values.ndim != 3 or values.dtype not in (np.uint8, np.float16, np.float32, np.float64):
        raise UserError(f"it is {values.dtype} {values.shape}: give (C, H, W), float16, float32, float64 or uint8.")
    if values.shape[1:] != size and values.shape[:2] == size:
        values = values.transpose(2, 0, 1)
    if values.shape[1:] != size:
        raise UserError(
            f"it is {values.shape} for an image of {size}: give (C, H, W) with the image's height and width."
        )
    if values.shape[0] > VOID:
        raise UserError(f"it has {values.shape[0]} classes: at most {VOID}, since 255 is void.")
    scaled = values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1)
    sums = scaled.sum(0)
    # eight bits round each class by up to half a step
    slack = max(0.02, values.shape[0] / 255) if values.dtype == np.uint8 else 0.02
    if not np.isfinite(sums).all():
        raise UserError("it holds NaN or infinity.")
    if scaled.min() < -1e-4 or np.abs(sums - 1).max() > slack:
        raise UserError(
            f"it runs from {scaled.min():.3g} and adds up to {sums.min():.3g} to {sums.max():.3g} instead of 1: save "
            "probabilities, after the softmax."
        )
    return np.ascontiguousarray(np.maximum(scaled, 0) / np.maximum(sums, 1e-6))


def _array(path: Path, most: int) -> NDArray[Any]:
    """The array of a file; a compressed array of more than ``most`` bytes is refused before it is in memory."""
    if not zipfile.is_zipfile(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)  # mapped, it cannot be larger than its file
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
        chosen = names[0] if len(names) == 1 else "probabilities.npy"
        if chosen not in names:
            held = ", ".join(name.removesuffix(".npy") for name in names)
            raise UserError(f"it holds {held or 'nothing'}: name the array 'probabilities'.")
        if archive.getinfo(chosen).file_size > most:
            raise UserError(f"it unpacks to {archive.getinfo(chosen).file_size} bytes, more than its image can need.")
        with archive.open(chosen) as member:
            content = member.read(most + 1)  # the size in the archive's header may be false
    if len(content) > most:
        raise UserError(f"it unpacks to more than {most} bytes, more than its image can need.")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _labels(classes: str | None) -> LabelSet:
    """The label set of the class list; without a list, 255 numbered classes in VOC's colours."""
    if classes is not None:
        return read_class_list(classes)[0]
    return LabelSet(("background", *(f"class {number}" for number in range(1, VOID))))

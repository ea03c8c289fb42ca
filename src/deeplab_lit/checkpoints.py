"""Checkpoints: written whole, complete in themselves, loaded without running anything."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from numpy.typing import NDArray
from PIL import Image

from deeplab_lit.components import OWN
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import preset
from deeplab_lit.data.downloads import fetched
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.transforms import Normalization
from deeplab_lit.errors import UserError
from deeplab_lit.files import replacing
from deeplab_lit.inference.photographs import as_rgb
from deeplab_lit.inference.predictor import Predictor
from deeplab_lit.models.build import Network, build_network
from deeplab_lit.segmenter import CHECKPOINT_KEY

Bytes = NDArray[np.uint8]


class WholeFileCheckpoint(TorchCheckpointIO):
    """Writes beside the target and renames, so that a killed process leaves the previous checkpoint as it was."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)


@dataclass(frozen=True)
class Trained:
    """A network with what belongs to it, read from a checkpoint.

    Attributes:
        network: in evaluation mode, on the CPU.
        labels: the classes it scores.
        normalization: how its input is made from bytes.
        step: optimiser steps it was trained for.
        eval_size: pixels a side that images are padded to in its evaluation.
        data: the config of the data set that it was trained on, None if the file does not say.
    """

    network: Network
    labels: LabelSet
    normalization: Normalization
    step: int
    eval_size: int = 513
    data: dict[str, Any] | None = None

    def predict(self, image: Bytes | Image.Image | str | Path, crf: DenseCRF | str | None = None) -> Bytes:
        """The class of each pixel.

        Args:
            image: RGB bytes (H, W, 3), a Pillow image, or the path of a file, which is turned as its EXIF tag says.
            crf: refines the probabilities: a :class:`deeplab_lit.crf.DenseCRF`, or the name of a preset, such as
                ``"v2_resnet101"``.

        Returns:
            Class indices, uint8 (H, W).

        Raises:
            UserError: not an image, or no such preset.
        """
        if isinstance(crf, str):
            crf = preset(crf)
        pixels = as_rgb(image)
        if self._predictor.fits(pixels):
            found = self._predictor.probabilities(pixels)
            return (found if crf is None else crf(pixels, found)).argmax(0).astype(np.uint8)
        return self._predictor.labels_in_windows(pixels, crf)

    def probabilities(self, image: Bytes | Image.Image | str | Path) -> NDArray[np.float32]:
        """The probabilities of the classes, float32 (C, H, W); takes and raises what :meth:`predict` does."""
        return self._predictor.probabilities(as_rgb(image))

    @functools.cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.network, self.normalization, self.eval_size)


def describe(
    network_spec: dict[str, Any],
    labels: LabelSet,
    normalization: Normalization,
    eval_size: int = 513,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What a checkpoint says of itself, as builtins."""
    plain_labels = {"names": list(labels.names), "palette": [list(colour) for colour in labels.palette]}
    spec = {
        part: {key: value for key, value in config.items() if key != "recipe"} if isinstance(config, dict) else config
        for part, config in network_spec.items()
    }
    norm = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(normalization).items()}
    about = {"version": 1, "network": spec, "labels": plain_labels, "normalization": norm}
    return {**about, "eval_size": eval_size, "data": data}


def read(path: str | Path) -> dict[str, Any]:
    """What a checkpoint file of this library holds, with tensors on the CPU; raises UserError as :func:`load` does."""
    path = fetched(str(path)) if "://" in str(path) else Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"checkpoint {str(path)!r} does not exist: a run keeps its own under checkpoints/best.ckpt.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise UserError(f"{path} is not a checkpoint of deeplab_lit: it has no {CHECKPOINT_KEY!r} entry.")
    return content


def check_resumable(path: Path, description: dict[str, Any]) -> None:
    """Refuse to go on from a checkpoint of another network or of other classes.

    Args:
        path: the checkpoint.
        description: of the network that would be trained on, as :func:`describe` gives it.

    Raises:
        UserError: naming the first part that differs.
    """
    theirs = read(path)[CHECKPOINT_KEY]
    for part in ("backbone", "model", "scales", "crf"):
        old, new = theirs["network"].get(part), description["network"].get(part)
        if old != new:
            raise UserError(f"{path} holds another {part}: {old}, while this run has {new}; start a new run instead.")
    old, new = theirs["labels"]["names"], description["labels"]["names"]
    if old != new:
        raise UserError(
            f"{path} was trained for {len(old)} classes ({', '.join(old[:4])}, ...), this run has {len(new)} "
            f"({', '.join(new[:4])}, ...); start a new run instead."
        )


def load(path: str | Path, allow: Sequence[str] = ()) -> Trained:
    """Rebuild a trained network from a checkpoint alone.

    Nothing that the file names is imported but this library's own classes.

    Args:
        path: a checkpoint of this library: a file, or an http(s) URL, which is fetched once into the cache folder.
        allow: prefixes of further packages whose trunks and heads may be imported, such as ``"mypackage."``.

    Raises:
        UserError: no such file, not a checkpoint of this library, or one that asks for code that is not allowed.
    """
    content = read(path)
    about = content[CHECKPOINT_KEY]
    labels = LabelSet(tuple(about["labels"]["names"]), tuple(tuple(colour) for colour in about["labels"]["palette"]))
    network = build_network(about["network"], len(labels), allowed=(*OWN, *allow))
    prefix = "network."
    weights = {
        key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
    }
    network.load_state_dict(weights)
    norm = about["normalization"]
    normalization = Normalization.of(norm["mean"], norm["std"], norm["bgr"])
    return Trained(
        network.eval(),
        labels,
        normalization,
        int(content["global_step"]),
        int(about.get("eval_size", 513)),
        about.get("data"),
    )

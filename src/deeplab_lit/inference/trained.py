"""Trained network with everything that belongs to it, loaded from a file alone without running code of the file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import preset
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference.photographs import as_rgb
from deeplab_lit.inference.predictor import Predictor, Scorer
from deeplab_lit.models.folding import folded_for_good
from deeplab_lit.models.network import Network, build_network
from deeplab_lit.utils.arrays import Bytes
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import weights_file
from deeplab_lit.utils.instantiate import OWN
from deeplab_lit.weights.description import CHECKPOINT_KEY
from deeplab_lit.weights.onnx_graph import OnnxNetwork, is_onnx
from deeplab_lit.weights.read import read


@dataclass(frozen=True)
class Trained:
    """A network with everything that belongs to it, read from a checkpoint.

    Attributes:
        network: the network in evaluation mode, on the CPU; of an ONNX file a module that has ``scores`` alone.
        labels: the classes that the network scores.
        normalization: the normalisation of its input.
        step: the number of optimiser steps of its training.
        eval_size: the least height and width in pixels that images are padded to in its evaluation.
        data: the config of the data set that it was trained on; None if the file does not say.
        description: everything that the file says of the network, as builtins.
    """

    network: Scorer
    labels: LabelSet
    normalization: Normalization
    step: int
    eval_size: int = 513
    data: dict[str, Any] | None = None
    description: dict[str, Any] = field(default_factory=dict)

    def predict(self, image: Bytes | Image.Image | str | Path, crf: DenseCRF | str | None = None) -> Bytes:
        """The class of each pixel.

        Args:
            image: RGB bytes (H, W, 3), a Pillow image, or the path of a file, which is turned as its EXIF tag says.
            crf: a CRF that refines the probabilities: a :class:`deeplab_lit.crf.DenseCRF`, or the name of a preset,
                such as ``"v2_resnet101"``.

        Returns:
            Class indices, uint8 (H, W).

        Raises:
            UserError: ``image`` cannot be read as an image, or no preset has the name.
        """
        if isinstance(crf, str):
            crf = preset(crf)
        pixels = as_rgb(image)
        if self._predictor.fits(pixels):
            found = self._predictor.probabilities(pixels)
            return (found if crf is None else crf(pixels, found)).argmax(0).astype(np.uint8)
        return self._predictor.labels_in_windows(pixels, crf)

    def probabilities(self, image: Bytes | Image.Image | str | Path) -> NDArray[np.float32]:
        """The probabilities of the classes, float32 (C, H, W).

        ``image`` and the errors are those of :meth:`predict`.
        """
        return self._predictor.probabilities(as_rgb(image))

    @functools.cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.network, self.normalization, self.eval_size)


def load(path: str | Path, allow: Sequence[str] = ()) -> Trained:
    """Rebuild a trained network from a checkpoint alone.

    Of the code that the file names, only classes of this library and of ``allow`` are imported.

    Args:
        path: any file of weights that :func:`deeplab_lit.weights.read.read` knows, or its URL; or an ONNX graph that
            ``deeplab_lit.export`` wrote.
        allow: further packages whose trunks and heads may be imported, such as ``["mypackage"]``.

    Raises:
        UserError: the file does not exist, has an unknown format, has no classifier, or names code that is not allowed.
    """
    file = weights_file(path)
    if is_onnx(file):
        graph = OnnxNetwork(file)
        return _trained(graph, graph.content)
    content = read(file)
    about = content[CHECKPOINT_KEY]
    if about["network"]["model"] is None:
        origin = about.get("source", "of this library")
        raise UserError(
            f"{path} ({origin}) has a trunk, but no classifier of pixels: train one from it with init=checkpoint "
            f"init.path={path}."
        )
    prefix = "network."
    weights = {
        key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
    }
    if not allow:  # the first build takes no memory, since a file may describe a network of any size
        with torch.device("meta"):
            _fitting(_built(about, path, allow), weights, path)
    network = _built(about, path, allow)
    network.load_state_dict(_fitting(network, weights, path))
    return _trained(network, content)


def _built(about: Mapping[str, Any], path: str | Path, allow: Sequence[str]) -> Network:
    try:
        network = build_network(about["network"], len(about["labels"]["names"]), allowed=(*OWN, *allow)).eval()
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        why = " ".join(str(error).split())[:300]
        raise UserError(f"{path} describes a network that cannot be built: {why}") from error
    return folded_for_good(network) if about.get("folded") else network


def _fitting(network: Network, weights: dict[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """The weights and the counters of batch normalisation, if they fit the network.

    Other code bases do not save the counters, and nothing here reads them.

    Raises:
        UserError: a name or a shape differs from the network's.
    """
    wanted = network.state_dict()
    counters = {name: value for name, value in wanted.items() if name.endswith("num_batches_tracked")}
    found = {**counters, **weights}
    for name in (*wanted, *found):
        shapes = [tuple(each[name].shape) if name in each else "nothing" for each in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise UserError(f"{path} does not fit its own description: {name} is {shapes[1]} instead of {shapes[0]}.")
    return found


def _trained(network: Scorer, content: dict[str, Any]) -> Trained:
    about = content[CHECKPOINT_KEY]
    labels = LabelSet(tuple(about["labels"]["names"]), tuple(tuple(colour) for colour in about["labels"]["palette"]))
    norm = about["normalization"]
    return Trained(
        network.eval(),
        labels,
        Normalization.of(norm["mean"], norm["std"], norm["bgr"]),
        int(content["global_step"]),
        int(about.get("eval_size", 513)),
        about.get("data"),
        about,
    )

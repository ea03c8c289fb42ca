"""Trained network with everything that belongs to it, loaded from a file alone without running code of the file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.presets import preset
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.inference.photographs import as_pixels
from deeplab_lit.inference.predictor import Predictor, Scorer
from deeplab_lit.inference.segmentation import Segmentation
from deeplab_lit.models.folding import folded_for_good
from deeplab_lit.models.network import Network, build_network
from deeplab_lit.utils.arrays import Bytes, Pixels
from deeplab_lit.utils.device import own_device
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import is_url, weights_file
from deeplab_lit.utils.instantiate import OWN
from deeplab_lit.weights.description import CHECKPOINT_KEY
from deeplab_lit.weights.onnx_graph import OnnxNetwork, is_onnx
from deeplab_lit.weights.read import read

ImageLike = Pixels | Image.Image | str | Path


@dataclass(eq=False, repr=False)
class Trained:
    """A network with everything that belongs to it, read from a checkpoint.

    Attributes:
        network: the network in evaluation mode; of an ONNX file a module that has ``scores`` alone.
        labels: the classes that the network scores.
        normalization: the normalisation of its input.
        step: the number of optimiser steps of its training.
        eval_size: the least height and width in pixels that images are padded to in its evaluation.
        data: the config of the data set that it was trained on; None if the file does not say.
        description: everything that the file says of the network, as builtins.
        file: the file or the URL that it was loaded from.
        device: where predictions are computed; ``"auto"`` is a GPU if there is one. :meth:`to` changes it.
    """

    network: Scorer
    labels: LabelSet
    normalization: Normalization
    step: int
    eval_size: int = 513
    data: dict[str, Any] | None = None
    description: dict[str, Any] = field(default_factory=dict)
    file: str | None = None
    device: str = "auto"

    @overload
    def predict(self, image: ImageLike, crf: DenseCRF | str | None = None, batch_size: int = 8) -> Bytes: ...

    @overload
    def predict(
        self, image: list[ImageLike] | tuple[ImageLike, ...], crf: DenseCRF | str | None = None, batch_size: int = 8
    ) -> list[Bytes]: ...

    def predict(
        self,
        image: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
        crf: DenseCRF | str | None = None,
        batch_size: int = 8,
    ) -> Bytes | list[Bytes]:
        """The class of each pixel.

        Args:
            image: RGB bytes (H, W, 3), a Pillow image, or the path of a file, which is turned as its EXIF tag says; or
                a list of these. A network of other images takes arrays and files of its format.
            crf: a CRF that refines the probabilities: a :class:`deeplab_lit.crf.DenseCRF`, or the name of a preset,
                such as ``"v2_resnet101"``.
            batch_size: how many images of a list go through the network together, if they are padded to one size.

        Returns:
            Class indices, uint8 (H, W); of a list of images a list of these.

        Raises:
            UserError: ``image`` cannot be read as an image, or no preset has the name.
        """
        if isinstance(crf, str):
            crf = preset(crf)
        if isinstance(image, (list, tuple)):
            return self._predictor.labels_of_each(map(self._read, image), crf, batch_size)
        return self._predictor.labels_of_each([self._read(image)], crf)[0]

    def segment(self, image: ImageLike, crf: DenseCRF | str | None = None) -> Segmentation:
        """The labels of an image with their names, colours and pictures.

        The arguments and the errors are those of :meth:`predict`.
        """
        pixels = self._read(image)
        return Segmentation(pixels, self.predict(pixels, crf), self.labels)

    def to(self, device: str | torch.device) -> Trained:
        """Compute on another device from now on. Returns this object.

        Raises:
            UserError: the device is not available.
        """
        self.network.to(own_device(str(device)))
        self.device = str(device)
        self.__dict__.pop("_predictor", None)
        return self

    def probabilities(self, image: ImageLike) -> NDArray[np.float32]:
        """The probabilities of the classes, float32 (C, H, W).

        ``image`` and the errors are those of :meth:`predict`.
        """
        return self._predictor.probabilities(self._read(image))

    def _read(self, image: ImageLike) -> Pixels:
        return as_pixels(image, self.normalization.pixels)

    @functools.cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.network, self.normalization, self.eval_size, device=self.device)

    def __repr__(self) -> str:
        spec = self.description.get("network")
        parts = f"{_called(spec['backbone'])}, {_called(spec['model'])}" if spec else type(self.network).__name__
        scales = ", ".join(f"{scale:g}" for scale in spec["scales"]) if spec else "1"
        count = sum(parameter.numel() for parameter in self.network.parameters())
        size = f"{count / 1e6:.2f} million parameters" if count else "an ONNX graph"
        names = ", ".join(self.labels.names[:6]) + ", ..." * (len(self.labels) > 6)
        return (
            f"{parts}, scales {scales}\n"
            f"{size}, {self.step} steps of training, {len(self.labels)} classes: {names}\n"
            f"input {self.normalization}, padded to at least {self.eval_size} pixels a side\n"
            f"from {self.file or 'memory'}, computed on {self.device}"
        )


def _called(component: Mapping[str, Any]) -> str:
    """A component of a description as the call that makes it."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in component.items() if name != "_target_")
    return f"{str(component['_target_']).rsplit('.', 1)[-1]}({arguments})"


def load(path: str | Path, allow: Sequence[str] = (), rates: Sequence[int] | None = None) -> Trained:
    """Rebuild a trained network from a checkpoint alone.

    Of the code that the file names, only classes of this library and of ``allow`` are imported.

    Args:
        path: any file of weights that :func:`deeplab_lit.weights.read.read` knows, or its URL; a run directory, whose
            best checkpoint is loaded; or an ONNX graph that ``deeplab_lit.export`` wrote.
        allow: further packages whose trunks and heads may be imported, such as ``["mypackage"]``.
        rates: of the classifiers that the network sums, for a file of another code base that cannot tell:
            ``[6, 12, 18, 24]`` or ``[6, 12]``.

    Raises:
        UserError: the file does not exist, has an unknown format, has no classifier, cannot tell its rates, or names
            code that is not allowed.
    """
    file = weights_file(path)
    origin = str(path if is_url(path) else file)
    if is_onnx(file):
        graph = OnnxNetwork(file)
        return _trained(graph, graph.content, origin)
    content = read(file, rates)
    about = content[CHECKPOINT_KEY]
    if about["network"]["model"] is None:
        layout = about.get("source", "of this library")
        raise UserError(
            f"{path} ({layout}) has a trunk, but no classifier of pixels: train one from it with init=checkpoint "
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
    return _trained(network, content, origin)


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


def _trained(network: Scorer, content: dict[str, Any], origin: str) -> Trained:
    about = content[CHECKPOINT_KEY]
    labels = LabelSet(tuple(about["labels"]["names"]), tuple(tuple(colour) for colour in about["labels"]["palette"]))
    norm = about["normalization"]
    return Trained(
        network.eval(),
        labels,
        Normalization.chosen(norm),
        int(content["global_step"]),
        int(about.get("eval_size", 513)),
        about.get("data"),
        about,
        origin,
    )

"""A timm trunk: any network of timm that computes a map of features, at any output stride."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeplab_lit.models.atrous import dilate
from deeplab_lit.models.norm import freeze_norm
from deeplab_lit.utils.errors import UserError, closest

_SIDE = 256  # side in pixels of the image that a trunk is tested with


class TimmTrunk(nn.Module):
    """A network of timm without its pooling and classifier.

    Args:
        name: timm's name of the network, such as ``"resnet50d"``.
        output_stride: image pixels for one feature pixel.
        frozen_norm: batch normalisation with frozen statistics, as the papers have it with a pretrained trunk.
        frozen_affine: with ``frozen_norm``, scale and shift are frozen too, as in the papers.

    Raises:
        UserError: timm is not installed or has no such network, or it cannot be brought to that output stride; the
            message says why.
    """

    def __init__(
        self, name: str, output_stride: int = 8, frozen_norm: bool = False, frozen_affine: bool = True
    ) -> None:
        super().__init__()
        self.network = _create(name)
        native = _native_shape(self, name)
        if output_stride > native[1]:
            raise UserError(
                f"backbone.name={name} has output stride {native[1]}: backbone.output_stride is at most that, not "
                f"{output_stride}."
            )
        if frozen_norm:
            freeze_norm(self.network, frozen_affine)
        self.name, self.channels, self.output_stride = name, native[0], output_stride
        try:
            dilate(self, output_stride)
        except ValueError as error:
            raise UserError(
                f"backbone.name={name} cannot be brought to output stride {output_stride}: {error}"
            ) from error
        reached = _shape(self)
        if reached is None or reached[2] != _SIDE // output_stride:
            raise UserError(
                f"backbone.name={name} cannot be brought to output stride {output_stride}: it reduces its map in "
                "layers that are neither convolutions nor pooling."
            )

    def forward(self, image: Tensor) -> Tensor:
        return self.network.forward_features(image)  # type: ignore[operator]

    @staticmethod
    def input_normalization(config: Mapping[str, Any]) -> dict[str, Any]:
        """Mean and deviation, 0 to 255, that timm's weights of the network in ``config`` were trained with."""
        about: Any = _create(str(config["name"])).pretrained_cfg
        return {"mean": [255 * value for value in about["mean"]], "std": [255 * value for value in about["std"]]}

    def pretrained_weights(self, path: str | Path | None) -> dict[str, Tensor]:
        """timm's trained weights under the names of this trunk, from the hub or, without internet, from a file.

        Raises:
            UserError: the hub cannot be reached, there are no weights of this network, or the file is of another one.
        """
        import timm

        file = Path(path).expanduser() if path else None
        options: dict[str, Any] = {"pretrained_cfg_overlay": {"file": str(file)}} if file else {}
        if file and not file.is_file():
            raise UserError(f"init.path={str(path)!r} does not exist: give a file with timm's weights of {self.name}.")
        try:
            trained = timm.create_model(self.name, pretrained=True, num_classes=0, **options)
        except Exception as error:  # hubs and files raise errors of no common class
            said = str(error).splitlines()[0]
            if file:
                raise UserError(f"init.path={path} holds no weights of timm's {self.name}: {said}") from error
            raise UserError(
                f"timm's weights of {self.name} could not be had ({said}): fetch them where there is internet, and "
                "type init.path=FILE."
            ) from error
        own = self.state_dict()
        found = {f"network.{name}": value for name, value in trained.state_dict().items()}
        return {name: value for name, value in found.items() if name in own}


def _create(name: str) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise UserError("backbone=timm needs the package timm: pip install timm.") from error
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
    except Exception as error:  # timm raises RuntimeError, TypeError and others
        if timm.is_model(name.split(".")[0]):
            raise UserError(f"backbone.name={name} cannot be built as a trunk: {error}") from error
        raise UserError(
            f"backbone.name={name!r} is no network of timm {timm.__version__}.{closest(name, timm.list_models())}"
        ) from error


def _shape(trunk: nn.Module) -> tuple[int, int, int] | None:
    """Channels and size of the map that a trunk computes from a square image; None if its output is no map."""
    import copy

    probe = copy.deepcopy(trunk).to("meta").eval()
    with torch.no_grad():
        x = probe(torch.empty(1, 3, _SIDE, _SIDE, device="meta"))
    return (x.shape[1], x.shape[2], x.shape[3]) if isinstance(x, Tensor) and x.ndim == 4 else None


def _native_shape(trunk: nn.Module, name: str) -> tuple[int, int]:
    """Channels and output stride of a trunk without added holes."""
    try:
        shape = _shape(trunk)
    except Exception as error:  # a network may raise any error for an image size that it does not take
        raise UserError(
            f"backbone.name={name} does not take an image of {_SIDE} x {_SIDE}: {str(error).splitlines()[0]}"
        ) from error
    if shape is None or shape[1] != shape[2] or _SIDE % shape[1] or shape[0] < shape[1]:
        raise UserError(
            f"backbone.name={name} gives no map of features (N, C, H, W), which an atrous trunk needs: choose a "
            "convolutional network."
        )
    return shape[0], _SIDE // shape[1]

"""Initial weights from ImageNet: torchvision's networks as trunks, and VGG-16's fc6 and fc7 as convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.heads import ASPP, FieldOfView, MultiScaleFeatures
from deeplab_lit.utils.errors import UserError, closest
from deeplab_lit.weights.pytorch_files import load_state_dict
from deeplab_lit.weights.transfer import Transfer, take

Surgery = Literal["decimation", "subset", "average"]
_WIDTH, _SIDE = 4096, 7  # kernel and width of VGG-16's fc6


class FullyConnected(NamedTuple):
    """VGG-16's fc6 and fc7 as convolutions."""

    fc6_weight: Float[Tensor, "width channels kernel kernel"]
    fc6_bias: Float[Tensor, " width"]
    fc7_weight: Float[Tensor, "width width 1 1"]
    fc7_bias: Float[Tensor, " width"]


def read_torchvision(name: str, weights: str, path: str | Path | None = None) -> dict[str, Tensor]:
    """The state dict of one of torchvision's classification networks.

    Args:
        name: torchvision's name of the network, such as ``"resnet101"``.
        weights: torchvision's name of the weights, such as ``"IMAGENET1K_V1"``.
        path: a file with the state dict; None: torchvision's own download, or its cache.

    Raises:
        UserError: there are no such weights or no such file, or the download failed.
    """
    import torchvision

    kinds = torchvision.models.get_model_weights(name)
    known = [each.name for each in kinds]
    if weights not in known:
        raise UserError(f"init.weights={weights!r}: for {name} there are {', '.join(known)}.{closest(weights, known)}")
    kind = kinds[weights]
    if path is not None:
        return load_state_dict(Path(path).expanduser(), f"torchvision's file for {name}")
    try:
        return dict(kind.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints" / kind.url.rsplit("/", 1)[-1]
        raise UserError(
            f"the weights {weights} of {name} could not be fetched ({error}): fetch {kind.url} where there is internet "
            f"and put it to {cache}, or anywhere else and type init.path=FILE."
        ) from error


def convert_fc(
    state: Mapping[str, Tensor], kernel: int, width: int, surgery: Surgery = "subset", seed: int = 0
) -> FullyConnected:
    """Turn VGG-16's fc6 (7x7, 4096) and fc7 into convolutions of another size (V1, section 3.2).

    ``decimation`` keeps evenly spaced taps and every n-th filter. ``subset`` keeps the same taps and a random subset
    of the filters. Both leave the kept values unchanged. ``average`` takes the means of neighbouring taps and of groups
    of filters; the next layer's weights of a group are added up, since one channel replaces the group. With kernel 7
    and width 4096 all three give torchvision's own layers.

    Args:
        state: torchvision's VGG-16.
        kernel: kernel size of fc6, up to 7.
        width: channels of fc6 and fc7; it divides 4096.
        surgery: ``decimation``, ``subset`` or ``average``.
        seed: the seed of the random subset.

    Raises:
        UserError: the surgery is unknown, or the kernel or the width is not possible.
    """
    if surgery not in get_args(Surgery):
        raise UserError(f"init.fc={surgery!r} is not known: choose one of {', '.join(get_args(Surgery))}.")
    if not 1 <= kernel <= _SIDE or _WIDTH % width:
        raise UserError(
            f"fc6 of {kernel}x{kernel} and width {width} cannot be cut out of VGG-16's 7x7 and 4096: the kernel is at "
            "most 7, the width divides 4096."
        )
    fc6 = state["classifier.0.weight"].view(_WIDTH, -1, _SIDE, _SIDE)
    fc7, bias6, bias7 = state["classifier.3.weight"], state["classifier.0.bias"], state["classifier.3.bias"]
    if surgery == "average":
        return FullyConnected(
            _means(F.adaptive_avg_pool2d(fc6, kernel), width),
            _means(bias6, width),
            _means(fc7, width).view(width, width, -1).sum(2)[:, :, None, None],
            _means(bias7, width),
        )
    taps = torch.linspace(0, _SIDE - 1, kernel).round().long() if kernel > 1 else torch.tensor([_SIDE // 2])
    first, second = _kept(width, surgery, seed)
    return FullyConnected(
        fc6[first][:, :, taps[:, None], taps],
        bias6[first],
        fc7[second][:, first][:, :, None, None],
        bias7[second],
    )


def _means(x: Tensor, width: int) -> Tensor:
    return x.view(width, _WIDTH // width, *x.shape[1:]).mean(1)


def _kept(width: int, surgery: Surgery, seed: int) -> tuple[Tensor, Tensor]:
    """The indices of the kept filters of fc6 and of fc7, in ascending order."""
    if surgery == "decimation" or width == _WIDTH:
        every = torch.arange(0, _WIDTH, _WIDTH // width)
        return every, every
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.randperm(_WIDTH, generator=draw)[:width].sort().values for _ in range(2))
    return first, second


def start_from_imagenet(
    network: DeepLab, state: Mapping[str, Tensor], source: str, surgery: Surgery = "subset", seed: int = 0
) -> Transfer:
    """Give a network the weights of a torchvision classifier: the trunk's, and VGG-16's fc6 and fc7.

    The branches of an ASPP get subsets of seeds ``seed``, ``seed + 1``, ..., so that they keep different filters.

    Raises:
        UserError: the weights do not belong to the trunk.
    """
    weights = {f"trunk.{name}": value for name, value in state.items() if not name.startswith(("classifier.", "fc."))}
    rest = [name for name in state if name.startswith(("classifier.", "fc."))]
    heads = _heads(network) if "classifier.0.weight" in state else {}
    for number, (prefix, head) in enumerate(heads.items()):
        conv = head.hidden.get_submodule("fc6")
        fc = convert_fc(state, conv.kernel_size[0], conv.out_channels, surgery, seed + number)  # type: ignore[arg-type, index]
        parts = ("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias")
        weights |= {f"{prefix}hidden.{part}": value for part, value in zip(parts, fc, strict=True)}
    used = ("classifier.0.", "classifier.3.") if heads else ()
    report = take(network, weights, source)
    return replace(report, left=(*report.left, *(name for name in rest if not name.startswith(used))))


def _heads(network: DeepLab) -> dict[str, FieldOfView]:
    """The heads with an fc6, by the prefix of their parameters in the network."""
    head = network.head
    found = {"head.": head}
    if isinstance(head, MultiScaleFeatures):
        found = {"head.main.": head.main}
    if isinstance(head, ASPP):
        found = {f"head.branches.{i}.": branch for i, branch in enumerate(head.branches)}
    return {prefix: each for prefix, each in found.items() if isinstance(each, FieldOfView) and hasattr(each, "hidden")}

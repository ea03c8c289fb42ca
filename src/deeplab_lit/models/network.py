"""The network of a description, which configs and checkpoints hold as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from torch import nn

from deeplab_lit.crf.layer import CRFLayer
from deeplab_lit.models.atrous import set_realisation
from deeplab_lit.models.crf_refined import RefinedByCRF
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.fused_scales import FusedScales, Fusion, Mirrored
from deeplab_lit.models.input_channels import input_channels, widen_input
from deeplab_lit.models.multiscale import MultiScaleInput
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.instantiate import create, locate

Network = DeepLab | MultiScaleInput | RefinedByCRF


def build_network(spec: Mapping[str, Any], num_classes: int, *, allowed: Sequence[str] | None = None) -> Network:
    """Build the network of a description.

    Args:
        spec: ``backbone`` and ``model`` (each a ``_target_`` with arguments), ``scales`` (input factors, ``[1.0]`` for
            one), ``align_corners``, ``atrous`` (see :class:`AtrousConv2d`), ``msc_loss`` and ``recompute`` (see
            :class:`MultiScaleInput`); ``channels`` of the images, 3 unless it is there; and, for a network that ends
            in a CRF, ``crf``: the arguments of :class:`deeplab_lit.crf.layer.CRFLayer`, and as ``input`` the mean, std
            and bgr of :class:`RefinedByCRF`.
        num_classes: classes to score.
        allowed: packages that each ``_target_`` may name; None: any target is imported.

    Raises:
        UserError: a part of the description is wrong; the message names it.
    """
    trunk = create(spec["backbone"], "backbone", allowed=allowed, kind=nn.Module)
    for name, what in (("channels", "of its features"), ("output_stride", "image pixels for one feature pixel")):
        if not isinstance(getattr(trunk, name, None), int):
            raise UserError(
                f"backbone {type(trunk).__name__} has no whole number {name} ({what}): set self.{name} in its "
                "constructor."
            )
    channels = spec.get("channels", 3)
    if channels != input_channels(trunk):
        widen_input(trunk, channels)
    arguments: dict[str, Any] = {"in_channels": trunk.channels, "num_classes": num_classes}
    if getattr(locate(spec["model"].get("_target_"), "model", allowed, nn.Module), "takes_taps", False):
        if not hasattr(trunk, "forward_taps"):
            raise UserError(
                f"this model reads maps from inside the trunk, which {type(trunk).__name__} does not give: choose "
                "backbone=vgg16, a ResNet or efficientnet_lite0."
            )
        arguments["tap_channels"] = (channels, *trunk.tap_channels[1:])
        arguments["tap_steps"] = [trunk.output_stride // stride for stride in trunk.tap_strides]
    head = create(spec["model"], "model", allowed=allowed, kind=nn.Module, **arguments)
    network = DeepLab(trunk, head, spec["align_corners"])
    try:
        set_realisation(network, spec["atrous"])
        single = list(spec["scales"]) == [1.0]
        training = spec.get("msc_loss", "full_map"), spec.get("recompute", False)
        if single and training[1]:
            raise UserError("scales.recompute=true is for several scales: type scales=msc, or leave it out.")
        whole = network if single else MultiScaleInput(network, spec["scales"], *training)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not spec.get("crf"):
        return whole
    settings = dict(spec["crf"])
    made_of = settings.pop("input")
    return RefinedByCRF(whole, CRFLayer(**settings), **made_of)


def deeplab_of(network: Network) -> DeepLab:
    """The :class:`DeepLab` inside a network with multi-scale inputs or a CRF layer."""
    while not isinstance(network, DeepLab):
        network = network.network
    return network


def at_scales(network: nn.Module, scales: Sequence[float]) -> DeepLab | MultiScaleInput:
    """The same trunk and head at other scales of the input, in evaluation mode.

    Raises:
        UserError: the network ends in a CRF layer, which was trained for its scales, or a scale is not possible.
    """
    single = _unfused(network, f"scales={list(scales)}")
    try:
        return (single if list(scales) == [1.0] else MultiScaleInput(single, scales)).eval()
    except ValueError as error:
        raise UserError(str(error)) from error


def fused_at(
    network: nn.Module,
    scales: Sequence[float],
    fusion: str = "max_scores",
    mirrored: bool | str = False,
    max_side: int | None = None,
) -> DeepLab | MultiScaleInput | FusedScales:
    """The same trunk and head for testing, in evaluation mode; the arguments are those of :class:`FusedScales`.

    The maximum of the scores at scales up to 1, 1 among them, is that of :class:`MultiScaleInput`, which is taken on
    the coarse map, as in training. Everything else is fused at the pixels of the image.

    Raises:
        UserError: the network ends in a CRF layer or is an exported graph, or an argument is wrong.
    """
    if fusion not in get_args(Fusion):
        raise UserError(f"fusion={fusion!r} is not known: choose one of {', '.join(get_args(Fusion))}.")
    if mirrored not in (True, False, "sum"):
        raise UserError(f"flip_scales={mirrored!r}: choose true, sum or false.")
    in_training = 1.0 in scales and all(0 < scale <= 1 for scale in scales)
    if fusion == "max_scores" and in_training and not mirrored and max_side is None:
        return at_scales(network, scales)
    single = _unfused(network, f"scales={list(scales)}, fusion={fusion}")
    try:
        return FusedScales(single, scales, cast(Fusion, fusion), cast(Mirrored, mirrored), max_side).eval()
    except ValueError as error:
        raise UserError(str(error)) from error


def _unfused(network: nn.Module, wanted: str) -> DeepLab:
    """The network at one scale; ``wanted`` is what is wanted of it, for the message."""
    if not isinstance(network, (DeepLab, MultiScaleInput)):
        kind = "that ends in a CRF" if isinstance(network, RefinedByCRF) else "that is an exported graph"
        raise UserError(f"{wanted} cannot be changed on a network {kind}.")
    return deeplab_of(network)

"""A network from a plain description, as configs and checkpoints hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_lit.components import create, locate
from deeplab_lit.errors import UserError
from deeplab_lit.models.atrous import set_realisation
from deeplab_lit.models.deeplab import DeepLab
from deeplab_lit.models.multiscale import MultiScaleInput

Network = DeepLab | MultiScaleInput


def build_network(spec: Mapping[str, Any], num_classes: int, *, allowed: Sequence[str] | None = None) -> Network:
    """Build the network of a description.

    Args:
        spec: ``backbone`` and ``model`` (each a ``_target_`` with arguments), ``scales`` (input factors, ``[1.0]`` for
            one), ``align_corners``, ``atrous`` (``"holes"`` or ``"interlace"``) and ``msc_loss`` (see
            :class:`MultiScaleInput`).
        num_classes: classes to score.
        allowed: prefixes of the targets that may be imported; None trusts the description.

    Raises:
        UserError: a part of the description is wrong; the message names it.
    """
    trunk = create(spec["backbone"], "backbone", allowed=allowed)
    arguments: dict[str, Any] = {"in_channels": trunk.channels, "num_classes": num_classes}
    if getattr(locate(spec["model"].get("_target_"), "model", allowed), "takes_taps", False):
        arguments["tap_channels"] = trunk.tap_channels
        arguments["tap_steps"] = [trunk.output_stride // stride for stride in trunk.tap_strides]
    head = create(spec["model"], "model", allowed=allowed, **arguments)
    network = DeepLab(trunk, head, spec["align_corners"])
    try:
        set_realisation(network, spec["atrous"])
        if list(spec["scales"]) == [1.0]:
            return network
        return MultiScaleInput(network, spec["scales"], spec.get("msc_loss", "full_map"))
    except ValueError as error:
        raise UserError(str(error)) from error

"""The summary of a training config: parameters, operations, field of view and memory of its network."""

from __future__ import annotations

import json
from typing import Any, cast

import torch
from torch import Tensor

from deeplab_lit.config.command_schemas import SummaryConfig
from deeplab_lit.config.recipes import DataRecipe, recipe, without_recipe
from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.models.analysis import (
    field_of_view,
    flops,
    head_field_of_view,
    map_side,
    padding_shares,
    parts_of,
    saved_for_backward,
)
from deeplab_lit.models.dry_run import check_parts
from deeplab_lit.models.network import build_network
from deeplab_lit.training.losses import Resolution, segmentation_loss
from deeplab_lit.training.plan import network_spec
from deeplab_lit.training.step_batch import processes_told, share
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.instantiate import create
from deeplab_lit.utils.terminal import paragraph, table

_STATES = {"sgd": 1, "adamw": 2}  # values that an optimiser keeps for each parameter


def summary(config: SummaryConfig) -> dict[str, Any]:
    """Print the costs of a training (see :func:`costs`) as a table or as one JSON object, and return them.

    For a row of a published table, ``row`` holds the names of table and row.
    """
    row = f"{config.row.table}/{config.row.name}" if config.row else None
    content = {**({"row": row} if row else {}), **costs(config)}
    if config.json:
        print(json.dumps(content))
    else:
        if row:
            print(row)
        _show(content)
    return content


def costs(config: TrainConfig) -> dict[str, Any]:
    """Parameters, operations, field of view and memory of the network of a training.

    Args:
        config: of the training.

    Returns:
        Among others ``flops`` of a forward pass of one image (a multiplication and an addition are two), fields of view
        in pixels, and ``memory`` of a training step in float32, in bytes.

    Raises:
        UserError: the config is wrong, or the number of classes is not known without the data.
    """
    with torch.device("meta"):  # no weights are drawn, no memory is used
        network = build_network(network_spec(config), number_of_classes(config))
        check_parts(network, number_of_classes(config))
    parts = parts_of(network)
    stride = int(parts["trunk"].output_stride)  # type: ignore[arg-type]
    operations, size = flops(network, config.crop_size), config.crop_size
    batch = share(config, processes_told(config.trainer))
    kept = saved_for_backward(network, size, batch.each, lambda maps: _loss(maps, config))
    # frozen parameters have neither gradients nor optimiser states
    count = sum(each.numel() for each in network.parameters())
    trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
    memory = {
        "weights": 4 * count,
        "gradients": 4 * trained,
        "optimizer": 4 * trained * _STATES.get(config.optimizer.name, 1),
        **{f"activations of the {part}": value for part, value in kept.items()},
    }
    return {
        "params": count,
        "flops": operations["total"],
        "output_stride": stride,
        "field_of_view": field_of_view(network),
        "head_field_of_view": head_field_of_view(network, stride),
        "memory": {**memory, "total": sum(memory.values())},
        "parts": {
            part: {
                "params": sum(each.numel() for each in module.parameters()),
                "flops": operations[part],
                "activations": kept[part],
            }
            for part, module in parts.items()
        },
        "taps_in_padding": padding_shares(parts["head"], map_side(size, stride)),
        "crop_size": size,
        "batch_size": batch.each,
        "processes": batch.processes,
        "classes": number_of_classes(config),
        "scales": list(config.scales.factors),
    }


def number_of_classes(config: TrainConfig) -> int:
    """The number of classes of a training: ``classes`` if given, else the data set's, else that of its recipe.

    Raises:
        UserError: none of them is known.
    """
    if isinstance(config, SummaryConfig) and config.classes is not None:
        return config.classes
    known = recipe(config.data, DataRecipe).classes
    try:
        # constructing the data set writes and downloads nothing
        return len(create(without_recipe(config.data), "data").labels)
    except UserError as error:
        if known is None:
            raise UserError(f"the number of classes is not known ({error}): type classes=NUMBER.") from error
        return known


def _loss(maps: list[Tensor], config: TrainConfig) -> Tensor:
    """The training loss on meta tensors, which have shapes but no values."""
    mask = torch.empty((maps[0].shape[0], config.crop_size, config.crop_size), dtype=torch.uint8, device="meta")
    return segmentation_loss(maps, mask, cast(Resolution, config.loss.resolution), config.align_corners)


def _show(found: dict[str, Any]) -> None:
    lines = [
        [
            part,
            _millions(numbers["params"]),
            _billions(numbers["flops"]),
            as_bytes(numbers["activations"]) if numbers["activations"] else "none",
        ]
        for part, numbers in found["parts"].items()
    ]
    lines.append(["all", _millions(found["params"]), _billions(found["flops"]), ""])
    print(table(("part", "parameters", "operations", "activations"), lines, ()))
    size, batch, memory = found["crop_size"], found["batch_size"], found["memory"]
    scales = ", ".join(f"{scale:g}" for scale in found["scales"])
    of_one = f" (one of {found['processes']} processes)" if found["processes"] > 1 else ""
    rest = ", ".join(f"{name} {as_bytes(value)}" for name, value in memory.items() if name != "total" and value)
    notes = [
        f"operations: forward, one image of {size} x {size}, scales {scales}; a multiplication and an addition are two",
        f"output stride: {found['output_stride']} pixels",
        f"field of view: {found['field_of_view']} pixels; {found['head_field_of_view']} as table 1 of V2 counts it, "
        "for the kernel on the features alone",
        f"memory: a training step of batch {batch}{of_one} in float32 holds {as_bytes(memory['total'])}: {rest}; "
        "convolutions need room of their own besides",
    ]
    for name, part in found["taps_in_padding"].items():
        notes.append(f"{name}: {100 * part:.0f} % of its taps lie in the padding of the map")
    print("\n".join(paragraph(note) for note in notes))


def _millions(value: float) -> str:
    return f"{value / 1e6:.2f} M"


def _billions(value: float) -> str:
    return f"{value / 1e9:.2f} G"


def as_bytes(value: float) -> str:
    """A number of bytes as text, in GiB or MiB."""
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.1f} MiB"

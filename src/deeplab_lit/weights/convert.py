"""Convert a file of weights to a checkpoint or safetensors file of this library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from deeplab_lit.config.command_schemas import ConvertConfig
from deeplab_lit.data.class_list import read_class_list
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import CHECKPOINT_KEY
from deeplab_lit.weights.read import read
from deeplab_lit.weights.write import FORMATS, save


def convert(config: ConvertConfig) -> None:
    """Write the weights in ``config.source`` as a checkpoint or safetensors file of this library, and print its layout.

    Raises:
        UserError: the source is not recognised, the class list does not fit, or the target has an unknown suffix.
    """
    out = Path(config.out).expanduser()
    if out.suffix not in FORMATS:
        raise UserError(f"out={config.out}: the name ends in {' or '.join(FORMATS)}.")
    if out.exists() and not config.overwrite:
        raise UserError(f"out={config.out} is there already: choose another name, or type overwrite=true.")
    content = read(config.source, config.rates)
    about = content[CHECKPOINT_KEY]
    if config.classes:
        about["labels"] = _named(about["labels"], read_class_list(config.classes)[0], config.classes)
    if config.rgb:
        in_rgb(content)
    save(content, out)
    _tell(config, content)


def _named(old: dict[str, Any], labels: LabelSet, source: str) -> dict[str, Any]:
    if len(old["names"]) != len(labels):
        raise UserError(f"classes={source} names {len(labels)} classes, the weights score {len(old['names'])}.")
    return {"names": list(labels.names), "palette": [list(colour) for colour in labels.palette]}


def in_rgb(content: dict[str, Any]) -> None:
    """Turn a network of BGR images into one of RGB images with equal outputs, in place.

    The filters of the first convolutions change the order of their channels. The mean stays in the normalisation,
    since zero padding around the image stands for the mean, which no bias can express.

    Raises:
        UserError: the network takes more than three channels.
    """
    norm = content[CHECKPOINT_KEY]["normalization"]
    if not norm["bgr"]:
        return
    if len(norm["mean"]) != 3:
        raise UserError(f"rgb=true is for networks of three channels, not {len(norm['mean'])}: leave it out.")
    norm["bgr"] = False
    state: dict[str, Tensor] = content["state_dict"]
    for name, value in state.items():
        if value.ndim == 4 and value.shape[1] == 3:
            state[name] = value.flip(1).contiguous()


def _tell(config: ConvertConfig, content: dict[str, Any]) -> None:
    about, state = content[CHECKPOINT_KEY], content["state_dict"]
    millions = sum(value.numel() for value in state.values()) / 1e6
    names, norm = about["labels"]["names"], about["normalization"]
    classes = f"{len(names)} classes ({', '.join(names[:3])}, ...)" if names else "no classifier of pixels"
    print(f"{config.source}: {about.get('source', 'a checkpoint of this library')}")
    print(f"{len(state)} tensors, {millions:.2f} million values; {classes}")
    order = "BGR" if norm["bgr"] else "RGB"
    scales = about["network"]["scales"]
    print(f"input: {order} minus {norm['mean']} over {norm['std']} (red, green, blue), scales {scales}")
    for note in about.get("notes", []):
        print(f"note: {note}")
    if names:
        print(f"written: {config.out}; python -m deeplab_lit.evaluate checkpoint={config.out} data=...")
    else:
        print(f"written: {config.out}; python -m deeplab_lit.train init=checkpoint init.path={config.out} ...")

"""Export of a checkpoint to a file for other programs, which is compared with the network before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deeplab_lit.config.command_schemas import ExportConfig
from deeplab_lit.exports.compare import TOLERANCE, compare, images_to_check
from deeplab_lit.exports.onnx import write_onnx
from deeplab_lit.exports.tracing import PixelScores, traced
from deeplab_lit.inference.trained import Trained, load
from deeplab_lit.models.crf_refined import RefinedByCRF
from deeplab_lit.models.network import Network, at_scales
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import is_url, weights_file
from deeplab_lit.utils.files import replacing
from deeplab_lit.weights.description import CHECKPOINT_KEY, for_others
from deeplab_lit.weights.exported_program import is_program, run_program, write_program
from deeplab_lit.weights.onnx_graph import OnnxNetwork
from deeplab_lit.weights.write import save

SUFFIXES = {"safetensors": ".safetensors", "torch_export": ".pt2", "onnx": ".onnx"}


def export(config: ExportConfig) -> Path:
    """Write a trained network in another format, run the file, and print how far its scores are from the network's.

    Returns:
        The path of the file, which exists only if the scores agree.

    Raises:
        UserError: the checkpoint or a value is wrong, the file exists, the network has no graph, or the scores differ.
    """
    suffix = SUFFIXES.get(config.format)
    if suffix is None:
        raise UserError(f"format={config.format!r}: choose one of {', '.join(SUFFIXES)}.")
    source = weights_file(config.checkpoint)
    beside = Path(source.name) if is_url(config.checkpoint) else source  # not in the cache folder
    out = Path(config.out).expanduser() if config.out else beside.with_suffix(suffix)
    if out.suffix != suffix:
        raise UserError(f"out={config.out}: the name of format={config.format} ends in {suffix}.")
    if out.exists() and not config.overwrite:
        raise UserError(f"{out} is there already: type out=ANOTHER{suffix} or overwrite=true.")
    trained = load(source, config.allow)
    network, content = _wanted(trained, config)
    images = images_to_check(config.images, trained.data, trained.eval_size, trained.normalization.pixels)
    with replacing(out) as temporary:
        exported = _write(config, trained, network, content, temporary)
        print(f"{out}: {temporary.stat().st_size / 1e6:.1f} MB, input {trained.normalization}, {_scales(content)}")
        for comparison in compare(network.scores, exported, trained.normalization, trained.eval_size, images):
            print(comparison)
            if not comparison.agrees:
                raise UserError(
                    f"{out} is not written: on {comparison.name} its scores differ from the network's by "
                    f"{comparison.difference:.1e}, more than {TOLERANCE:g} of the largest."
                )
    print(f"written; each difference is below {TOLERANCE:g} of the largest score")
    return out


def _wanted(trained: Trained, config: ExportConfig) -> tuple[Network, dict[str, Any]]:
    """The network at the scales of the config, and a checkpoint of it."""
    network = trained.network
    if isinstance(network, OnnxNetwork):
        raise UserError(f"checkpoint={config.checkpoint} is an ONNX graph already: give what it was exported from.")
    about = for_others(trained.description)
    if config.scales is not None:
        network = at_scales(network, config.scales.factors)
        about["network"] |= {"scales": list(config.scales.factors), "recompute": False}
    if isinstance(network, RefinedByCRF) and config.format != "safetensors":
        raise UserError(
            f"{config.checkpoint} ends in a CRF, whose lattice grows with the image's colours and has no graph: type "
            "format=safetensors."
        )
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    return network, {CHECKPOINT_KEY: about, "state_dict": state, "global_step": trained.step}


def _write(
    config: ExportConfig, trained: Trained, network: Network, content: dict[str, Any], path: Path
) -> Callable[[Tensor], Tensor]:
    """Write ``path``, open it again, and return the function from normalised images to its scores."""
    if config.format == "safetensors":
        save(content, path)
        again = load(path, config.allow)
        assert not isinstance(again.network, OnnxNetwork)
        return PixelScores(again.network, again.normalization, again.eval_size)
    program = traced(network, trained.normalization, trained.eval_size)
    if config.format == "torch_export":
        write_program(program, content, path)
        if not is_program(path):
            raise UserError(f"PyTorch {torch.__version__} writes programs in an older layout: install a newer PyTorch.")
        return run_program(path)
    write_onnx(program, content, path)
    return OnnxNetwork(path).scores


def _scales(content: dict[str, Any]) -> str:
    scales = content[CHECKPOINT_KEY]["network"]["scales"]
    return f"scales {', '.join(f'{scale:g}' for scale in scales)}" + (" fused inside" if len(scales) > 1 else "")

"""ONNX files, written from exported programs."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from deeplab_lit.exports.tracing import no_graph
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import CHECKPOINT_KEY, to_text
from deeplab_lit.weights.onnx_graph import INPUT, ONNX_NEEDED, OUTPUT


def write_onnx(program: torch.export.ExportedProgram, content: dict[str, Any], path: Path) -> None:
    """Write a program as an ONNX graph, whose metadata ``deeplab_lit`` is the description in ``content``.

    Raises:
        UserError: the packages that write ONNX are not installed, or ONNX cannot express the program.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"format=onnx needs packages that are not installed ({error.name}): {ONNX_NEEDED}.") from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
        except torch.onnx.OnnxExporterError as error:
            raise UserError(no_graph(error)) from error
    assert made is not None
    graph = made.model_proto
    _name_sides(graph)
    del graph.graph.value_info[:]  # shapes of intermediate values, which nobody needs
    for node in graph.graph.node:  # paths of source files
        del node.metadata_props[:]
    graph.metadata_props.add(key=CHECKPOINT_KEY, value=to_text(content))
    onnx.save_model(graph, path)


def _name_sides(model: Any) -> None:
    given = model.graph.input[0].type.tensor_type.shape.dim
    names = dict(zip((given[i].dim_param for i in (0, 2, 3)), ("batch", "height", "width"), strict=True))
    for value in (*model.graph.input, *model.graph.output):
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param in names:
                side.dim_param = names[side.dim_param]

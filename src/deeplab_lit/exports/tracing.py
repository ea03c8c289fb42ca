"""Tracing of a network as one graph from normalised images to scores of pixels, for any batch and size."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from deeplab_lit.models.folding import folded_for_good
from deeplab_lit.models.network import Network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.onnx_graph import INPUT

_SIDES = 129, 161  # height and width of the traced image; unequal, so that the tracer tells them apart


class PixelScores(nn.Module):
    """The network from normalised images (N, 3, H, W) to class scores (N, C, H, W), with fusion and upsampling."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        return self.network.scores(image)


def no_graph(error: Exception) -> str:
    """The message for a network that PyTorch or ONNX cannot express for any batch and size."""
    return (
        f"the network has no graph for any batch and size ({str(error).strip().splitlines()[0]}): format=safetensors."
    )


def traced(network: Network) -> ExportedProgram:
    """The graph of a network in evaluation mode, with batch normalisation folded into the weights.

    Raises:
        UserError: the network's operations depend on its values, or on one size.
    """
    example = next(network.parameters()).new_zeros(2, 3, *_SIDES)
    shapes = {INPUT: {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    try:
        program = export(PixelScores(folded_for_good(network)), (example,), dynamic_shapes=shapes)
    except Exception as error:  # the type depends on the trunk and the head
        raise UserError(no_graph(error)) from error
    # paths of source files are private, and take more room than the graph
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn"):
            node.meta.pop(key, None)
    return program

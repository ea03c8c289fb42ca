"""A network as one graph from normalised images to scores of pixels, for any batch and size."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from deeplab_lit.models.folding import folded_for_good
from deeplab_lit.models.network import Network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.onnx_graph import INPUT

_SIDES = 129, 161  # of the image it is traced with; unequal, so that height and width stay apart


class PixelScores(nn.Module):
    """Normalised images (N, 3, H, W) to class scores (N, C, H, W): multi-scale fusion and upsampling included."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        return self.network.scores(image)


def no_graph(error: Exception) -> str:
    """What to say of a network that PyTorch or ONNX cannot express for any batch and size."""
    return (
        f"the network has no graph for any batch and size ({str(error).strip().splitlines()[0]}): format=safetensors."
    )


def traced(network: Network) -> ExportedProgram:
    """The graph of a network in evaluation mode, with batch normalisation inside the weights.

    Raises:
        UserError: what the network does depends on its values, or on one size.
    """
    example = next(network.parameters()).new_zeros(2, 3, *_SIDES)
    shapes = {INPUT: {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    try:
        program = export(PixelScores(folded_for_good(network)), (example,), dynamic_shapes=shapes)
    except Exception as error:  # of many kinds, according to what a trunk or head does
        raise UserError(no_graph(error)) from error
    # where the sources lie is nobody's business, and is larger than the graph
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn"):
            node.meta.pop(key, None)
    return program

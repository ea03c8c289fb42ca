"""Tracing of a network as one graph from normalised images to scores of pixels, padding included."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.transforms import padded_side
from deeplab_lit.models.folding import folded_for_good
from deeplab_lit.models.network import Network
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.onnx_graph import INPUT

# what the traced image's height and width have more than the least: unequal, and padded, so that the tracer tells all
# sizes apart
_SIDES = 3, 30


class PixelScores(nn.Module):
    """The network from normalised images (N, C, H, W) to class scores (N, C, H, W), as prediction computes them.

    It pads each image as :class:`deeplab_lit.data.transforms.EvalTransform` does, fuses the scales of the input,
    upsamples, and leaves the scores of the padding out.

    Args:
        network: the network.
        normalization: of its input; its fill, normalised, is the value of the padding.
        size: the least height and width in pixels that images are padded to.
    """

    fill: Tensor

    def __init__(self, network: Network, normalization: Normalization, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size
        colour = np.array([[normalization.fill]], normalization.pixels.dtype)
        self.register_buffer("fill", normalization(colour)[None], persistent=False)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        height, width = image.shape[-2:]
        edges = (0, padded_side(width, self.size) - width, 0, padded_side(height, self.size) - height)
        outside = F.pad(torch.zeros_like(image[:, :1]), edges, value=1.0)
        scores = self.network.scores(F.pad(image, edges) + outside * self.fill)
        # a slice would fix in the graph whether an image is padded at all
        rows, columns = (torch.arange(side, device=image.device) for side in (height, width))
        return scores.index_select(-2, rows).index_select(-1, columns)


def no_graph(error: Exception) -> str:
    """The message for a network that PyTorch or ONNX cannot express for any batch and size."""
    return (
        f"the network has no graph for any batch and size ({str(error).strip().splitlines()[0]}): format=safetensors."
    )


def traced(network: Network, normalization: Normalization, size: int) -> ExportedProgram:
    """The graph of :class:`PixelScores` of a network in evaluation mode, with batch normalisation folded into weights.

    Raises:
        UserError: the network's operations depend on its values, or on one size.
    """
    least, channels = padded_side(1, size), normalization.pixels.channels
    example = next(network.parameters()).new_zeros(2, channels, *(least // 8 * 8 + 1 + more for more in _SIDES))
    shapes = {INPUT: {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    try:
        program = export(PixelScores(folded_for_good(network), normalization, size), (example,), dynamic_shapes=shapes)
    except Exception as error:  # the type depends on the trunk and the head
        raise UserError(no_graph(error)) from error
    # paths of source files are private, and take more room than the graph
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn"):
            node.meta.pop(key, None)
    return program

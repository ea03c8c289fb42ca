"""ONNX graphs of this library, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import CHECKPOINT_KEY, checked, from_text

INPUT, OUTPUT = "image", "scores"  # names of the input and the output in a graph
ONNX_NEEDED = "pip install 'deeplab_lit[onnx]'"


def is_onnx(path: Path) -> bool:
    """Whether a file begins as ONNX files do: the version of the format, a small number, then another field."""
    with path.open("rb") as file:
        first = file.read(9)
    # safetensors begin with any number, and then a brace
    small = first[:1] == b"\x08" and len(first) == 9 and first[8:] != b"{" and first[1] < 32
    return small and first[2] & 7 in (0, 2) and first[2] > 8


class OnnxNetwork(nn.Module):
    """An ONNX graph used as a network, run by ONNX Runtime in single precision.

    Args:
        path: a file that :func:`deeplab_lit.exports.onnx.write_onnx` wrote.

    Attributes:
        content: the description in the file, under a checkpoint's keys.

    Raises:
        UserError: ONNX Runtime is not installed or cannot read the file, or the file is not one of this library.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"{path} is run by ONNX Runtime, which is not installed: {ONNX_NEEDED}.") from error
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors have no other common class
            raise UserError(f"{path} cannot be read as ONNX: {str(error).splitlines()[0][:200]}") from error
        about = self._session.get_modelmeta().custom_metadata_map.get(CHECKPOINT_KEY)
        if about is None:
            raise UserError(f"{path} is an ONNX graph of another library: give one that deeplab_lit.export wrote.")
        self.content = checked({**from_text(about, str(path)), "state_dict": {}}, str(path))

    def scores(self, image: Tensor) -> Tensor:
        """Class scores (N, C, H, W) of normalised images (N, 3, H, W)."""
        found = self._session.run([OUTPUT], {INPUT: image.float().contiguous().cpu().numpy()})[0]
        return torch.from_numpy(found).to(image.device)

"""Write checkpoints of this library, whole or not at all, in PyTorch's format or as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from deeplab_lit.utils.files import replacing
from deeplab_lit.weights.description import CHECKPOINT_KEY, to_text

FORMATS = (".ckpt", ".safetensors")


def save(content: dict[str, Any], path: Path) -> None:
    """Write a result of :func:`deeplab_lit.weights.read.read` in the format of ``path``'s suffix (:data:`FORMATS`)."""
    kept = {key: content[key] for key in (CHECKPOINT_KEY, "state_dict", "global_step")}
    with replacing(path) as temporary:
        if path.suffix == ".ckpt":
            torch.save(kept, temporary)
            return
        tensors = {name: value.contiguous() for name, value in kept["state_dict"].items()}
        save_file(tensors, temporary, metadata={"format": "pt", CHECKPOINT_KEY: to_text(kept)})

"""For ``torch.hub.load``: networks of this library by file, URL or ``hf://USER/NAME``."""

import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "lightning", "hydra", "albumentations", "cv2", "numba", "safetensors"]


def deeplab(checkpoint: str, allow: tuple[str, ...] = (), rates: list[int] | None = None):
    """What :func:`deeplab_lit.load` gives: ``.predict(image)``, ``.probabilities(image)``, ``.network``, ``.labels``.

    Args:
        checkpoint: any file of weights that this library knows, a run directory, a URL, or ``hf://USER/NAME``.
        allow: packages whose trunks and heads the file may name.
        rates: of a file of another code base that cannot tell them: [6, 12, 18, 24] or [6, 12].
    """
    source = str(Path(__file__).resolve().parent / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    from deeplab_lit.inference.trained import load

    return load(checkpoint, allow, rates)

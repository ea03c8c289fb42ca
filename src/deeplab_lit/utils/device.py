"""Device on which a process computes when it uses a trained network."""

from __future__ import annotations

import torch

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.shards import local_rank


def own_device(name: str = "auto") -> torch.device:
    """The device of a name.

    ``"auto"`` is a GPU if there is one, else Apple's GPU (``mps``), else the CPU. Among several processes of a machine,
    ``"auto"`` and ``"cuda"`` are the GPU of the local rank; where there are fewer GPUs than processes, they share them.

    Raises:
        UserError: the device is not available.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        rank = local_rank()
        return torch.device("cuda") if rank is None else torch.device("cuda", rank % torch.cuda.device_count())
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device={name} is not to be had here ({str(error).splitlines()[0]}): type device=auto."
        ) from error
    return device

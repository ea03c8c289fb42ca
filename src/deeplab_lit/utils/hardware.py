"""Hardware and processes: the first process, the precision that is fast, and TF32."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from lightning.pytorch.utilities import rank_zero_only

Value = TypeVar("Value")


def is_first_process() -> bool:
    """Whether this is the process that writes files and prints, among all processes of a training."""
    return getattr(rank_zero_only, "rank", 0) == 0


def of_all(value: Value) -> list[Value]:
    """The values of all processes of a training, from the first to the last; each of them has to call it."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return [value]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found


def lost_another_process(error: BaseException) -> bool:
    """Whether an error only says that another process of this training has ended."""
    told = ("Connection closed by peer", "Connection reset by peer", "ncclRemoteError", "NCCL communicator was aborted")
    return torch.distributed.is_available() and any(words in str(error) for words in told)


def resolve_precision(precision: str, accelerator: str | None) -> str:
    """Lightning's name of a precision. ``"auto"`` is bf16 where the device has it in hardware, float32 elsewhere.

    Apple's GPUs (``mps``) get float32.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available() and accelerator not in ("cpu", "mps"):
        fast = torch.cuda.get_device_capability()[0] >= 8
    elif accelerator == "mps":
        fast = False
    else:
        # without the instructions PyTorch emulates bf16, far slower than float32
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        fast = bool(probe and probe())
    return "bf16-mixed" if fast else "32-true"


def set_tf32(wanted: bool) -> None:
    """Allow or forbid TF32 (10 bits of fraction) for float32 products on GPUs; CPUs are not affected."""
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high" if wanted else "highest")
        torch.backends.cudnn.allow_tf32 = wanted

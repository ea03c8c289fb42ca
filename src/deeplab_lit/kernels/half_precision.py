"""Half precision on this processor: whether it stores it, and whether it computes in it."""

from __future__ import annotations

import llvmlite.binding as llvm


def stores_half() -> bool:
    """Whether this processor has instructions that convert half precision; without them it is slower than float32."""
    return bool(_features().get("f16c")) or _is_arm()


def computes_half() -> bool:
    """Whether this processor has instructions that add and multiply in half precision."""
    return bool(_features().get("avx512fp16")) or (_is_arm() and bool(_features().get("fullfp16")))


def _features() -> dict[str, bool]:
    return dict(llvm.get_host_cpu_features())


def _is_arm() -> bool:
    return llvm.get_process_triple().startswith(("aarch64", "arm64"))

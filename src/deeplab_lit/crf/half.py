"""Half precision on this processor."""

from __future__ import annotations


def in_hardware() -> bool:
    """Whether this processor converts half precision itself; without that it is slower than float32."""
    import llvmlite.binding

    features = llvmlite.binding.get_host_cpu_features()
    machine = llvmlite.binding.get_process_triple()
    return bool(features.get("f16c")) or machine.startswith(("aarch64", "arm64"))

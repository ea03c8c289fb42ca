"""Reproduce, ablate and extend DeepLab V1 and V2 semantic segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplab_lit.inference.trained import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # the command line programs must not wait for torch before they have read their arguments
    if name == "load":
        from deeplab_lit.inference.trained import load

        return load
    raise AttributeError(f"module 'deeplab_lit' has no attribute {name!r}")

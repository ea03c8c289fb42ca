"""The package deeplab_lit: DeepLab V1 and V2 semantic segmentation, to reproduce, ablate and extend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplab_lit.inference.trained import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # imported on first use, so that command line programs read their arguments before torch is imported
    if name == "load":
        from deeplab_lit.utils.homes import lend_folders

        lend_folders()  # before the imports of libraries that look for the home
        from deeplab_lit.inference.trained import load

        return load
    raise AttributeError(f"module 'deeplab_lit' has no attribute {name!r}")

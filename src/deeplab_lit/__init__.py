"""The package deeplab_lit: DeepLab V1 and V2 semantic segmentation, to reproduce, ablate and extend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplab_lit import models
    from deeplab_lit.crf import DenseCRF, preset
    from deeplab_lit.inference.trained import load

__all__ = ["DenseCRF", "load", "models", "preset"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # imported on first use, so that command line programs read their arguments before torch is imported
    if name == "load":
        from deeplab_lit.utils.homes import lend_folders

        lend_folders()  # before the imports of libraries that look for the home
        from deeplab_lit.inference.trained import load

        return load
    if name in ("DenseCRF", "preset"):
        from deeplab_lit import crf

        return getattr(crf, name)
    if name == "models":
        import deeplab_lit.models

        return deeplab_lit.models
    raise AttributeError(f"module 'deeplab_lit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

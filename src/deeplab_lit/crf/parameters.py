"""What every engine of the dense CRF is told."""

from __future__ import annotations

from typing import Literal, Protocol

Normalization = Literal["symmetric", "after", "before", "none"]


class Parameters(Protocol):
    """What an engine is told."""

    bilateral_weight: float
    bilateral_xy_std: float
    bilateral_rgb_std: float
    gaussian_weight: float
    gaussian_xy_std: float
    iterations: int
    normalization: Normalization
    threads: int | None

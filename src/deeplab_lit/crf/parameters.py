"""Parameters of the dense CRF, as every engine reads them; config/schemas.py has their defaults."""

from __future__ import annotations

from typing import Literal, Protocol

Normalization = Literal["symmetric", "after", "before", "none"]

Width = float | tuple[float, ...]
"""A deviation, or one for each axis (x, y) or channel."""


class Parameters(Protocol):
    """The parameters that an engine reads; :class:`deeplab_lit.crf.DenseCRF` has them."""

    bilateral_weight: float
    bilateral_xy_std: Width
    bilateral_rgb_std: Width
    gaussian_weight: float
    gaussian_xy_std: Width
    iterations: int
    normalization: Normalization
    threads: int | None
    device: str
